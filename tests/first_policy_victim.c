/* Makes the one call its argument names and exits with the result, by bare system calls: not even a C library starts. */

static long Call(long nr, long a, long b, long c) {
  long result;
  __asm__ volatile("syscall" : "=a"(result) : "a"(nr), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
  return result;
}

/* stack: argc, argv[0], argv[1] … */
__attribute__((used)) static void Run(char** stack) {
  static char buffer[1];
  const char* argument = stack[2];
  long fd = argument[1] - '0';
  long result = 0;
  switch (argument[0]) {
    case 'r': result = Call(0, fd, (long)buffer, 1); break;
    case 'w': result = Call(1, fd, (long)"x", 1); break;
    case 'p': result = Call(39, 0, 0, 0); break; /* getpid */
    case 'e': { /* execve */
      char* words[] = {"/bin/true", 0};
      result = Call(59, (long)words[0], (long)words, 0);
      break;
    }
    case 't': Call(60, 5, 0, 0); /* exit: ends the only thread */
  }
  Call(231, result < 0 ? 99 : result, 0, 0);
}

__asm__(".globl _start\n_start:\n  mov %rsp, %rdi\n  call Run\n");
