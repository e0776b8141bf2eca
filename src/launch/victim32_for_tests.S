/* mkdir("/nowhere", 0777), exits with the errno. */
  .globl _start
_start:
  mov $39, %eax
  mov $path, %ebx
  mov $0777, %ecx
  int $0x80
  neg %eax
  mov %eax, %ebx
  mov $1, %eax
  int $0x80
path:
  .asciz "/nowhere"
  .section .note.GNU-stack, "", @progbits
