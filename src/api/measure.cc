// A filter can never be removed, so each measurement has a process of its own. Behind the
// installation the child can do nothing that the filter might judge: the clock is read without a
// system call, the result lies in shared memory, and the end is a trap instruction.

#include "api/measure.h"

#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <new>
#include <span>
#include <string>

#include "bpf/encode.h"
#include "kernel/kernel.h"

namespace callgate {
namespace {

constexpr int kChildren = 9;

struct Outcome {
  int errno_value = 0;
  double microseconds = 0;
};

[[noreturn]] void InstallAndDie(std::span<const std::byte> program, Outcome& outcome) {
  kernel::Kernel& kernel = kernel::RealKernel();
  std::signal(SIGILL, SIG_DFL);
  constexpr rlimit kNone{};
  ::setrlimit(RLIMIT_CORE, &kNone);
  outcome.errno_value = ECHILD;
  if (const auto done = kernel.SetNoNewPrivileges(); !done) {
    outcome.errno_value = done.error();
  } else {
    const auto begin = std::chrono::steady_clock::now();
    const auto added = kernel.AddFilter(program, 0);
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - begin;
    outcome.microseconds = time.count();
    outcome.errno_value = added ? 0 : added.error();
  }
  __builtin_trap();
}

}  // namespace

base::Result<double> MeasureInstall(bpf::ProgramView program) {
  const auto fail = [](int errno_value) {
    return base::Fail(base::ErrnoError("measure the installation", "", errno_value));
  };
  const std::string bytes =
      bpf::EncodeRaw(bpf::Program(program.begin(), program.end()), std::endian::native);
  void* memory =
      ::mmap(nullptr, sizeof(Outcome), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return fail(errno);
  auto& outcome = *new (memory) Outcome;
  std::array<double, kChildren> times{};
  int error = 0;
  for (double& time : times) {
    const pid_t child = ::fork();
    if (child == 0) InstallAndDie(std::as_bytes(std::span(bytes)), outcome);
    error = child < 0 ? errno : 0;
    while (child > 0 && ::waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
    }
    if (error == 0) error = outcome.errno_value;
    if (error != 0) break;
    time = outcome.microseconds;
  }
  ::munmap(memory, sizeof(Outcome));
  if (error != 0) return fail(error);
  std::ranges::nth_element(times, times.begin() + kChildren / 2);
  return times[kChildren / 2];
}

}  // namespace callgate
