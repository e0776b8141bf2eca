ld [4]
jeq #0xc000003e, number, kill
number: ld [0]
jge #0x40000000, kill, known
known: jeq #16, low, allow
low: ld [24]
jeq #0x5412, high, allow
high: ld [28]
jeq #0, kill, allow
kill: ret #0x80000000
allow: ret #0x7fff0000
