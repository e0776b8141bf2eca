// Installs a filter that was compiled into the program, by the library: on all threads, and with an
// error that says what is wrong.
#include <callgate/program.h>
#include <fcntl.h>

#include <cstdio>
#include <iostream>
#include <span>

#include "worker_filter.h"

int main() {
  auto program = callgate::Program::FromBytes(std::as_bytes(std::span(worker_filter)));
  if (!program) return std::cerr << program.error().message << '\n', 1;
  if (auto done = callgate::Install(*program); !done)
    return std::cerr << done.error().message << '\n', 1;

  std::cout << "printing works" << std::endl;
  if (open("/etc/passwd", O_RDONLY) < 0) std::perror("opening /etc/passwd");
}
