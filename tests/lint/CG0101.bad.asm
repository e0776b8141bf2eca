ld [0]
jeq #1, allow, kill
kill: ret #0x80000000
allow: ret #0x7fff0000
