// A program that gives up what it does not need: after Install it can print, allocate memory and
// exit, and nothing else.
#include <callgate/policy.h>
#include <fcntl.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

int main() {
  auto policy = callgate::Policy::FromText("self_sandbox", R"(
default: errno(EPERM)
write: fd in {1, 2}
brk, mmap, munmap
exit_group
)");
  if (!policy) return std::cerr << policy.error().Render(), 1;
  auto program = policy->Compile();
  if (!program) return std::cerr << program.error().message << '\n', 1;
  if (auto done = callgate::Install(*program); !done)
    return std::cerr << done.error().message << '\n', 1;

  std::cout << "printing works" << std::endl;
  if (open("/etc/passwd", O_RDONLY) < 0) std::perror("opening /etc/passwd");
}
