# Preprocess, compile, assemble and link; the result runs under the same policy.
printf '#include <stdio.h>\nint main(void) { puts("compiled"); return 0; }\n' > hello.c
$RUN gcc -O1 -o hello hello.c
$RUN ./hello
