ld [4]
jeq #0xc000003e, number, kill
number: ld [0]
jeq #101, kill, allow
kill: ret #0x80000000
allow: ret #0x7fff0000
