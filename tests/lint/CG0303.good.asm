ld [4]
jeq #0xc000003e, number, kill
number: ld [0]
jge #0x40000000, kill, known
known: jeq #9, low, kill
low: ld [24]
jeq #4096, high, kill
high: ld [28]
jeq #0, allow, kill
kill: ret #0x80000000
allow: ret #0x7fff0000
