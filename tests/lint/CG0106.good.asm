ld [4]
jeq #0xc000003e, number, kill
number: ld [0]
jge #0x40000000, kill, known
known: jeq #231, allow, kill
kill: ret #0x80000000
allow: ret #0x7fff0000
