#include "kernel/install.h"

#include <cerrno>

#include "fmt/format.h"

namespace callgate::kernel {
namespace {

base::Error InstallError(std::size_t instructions, int errno_value) {
  base::Error error = base::ErrnoError("install filter",
                                       fmt::format("({} instructions)", instructions), errno_value);
  switch (errno_value) {
    case EACCES:
      error.reason = "no_new_privs is not set and CAP_SYS_ADMIN is missing";
      break;
    case EFAULT:
      error.reason = "the program's memory is not readable";
      break;
    case EINVAL:
      error.reason = instructions == 0 || instructions > 4096
                         ? "the kernel takes 1 to 4096 instructions"
                         : "the kernel's verifier refuses it, or the kernel has no seccomp filters";
      break;
    case ENOMEM:
      error.reason =
          "out of memory, or the filters of this thread would hold more than 32768 "
          "instructions, 4 added for each filter";
      error.advice = "combine the filters into one";
      break;
    case ESRCH:
      error.reason = "another thread has filters that this one has not, or is under strict mode";
      error.advice = "install the first filter before the threads start";
      break;
    case ENOSYS:
      error.reason = "this kernel has no seccomp(2)";
      error.advice = "needs Linux 3.17 with CONFIG_SECCOMP_FILTER";
      break;
    case EPERM:
      error.reason = "a filter that is already installed refuses seccomp()";
      break;
    default:
      break;
  }
  return error;
}

}  // namespace

base::Result<void> InstallFilter(Kernel& kernel, std::span<const std::byte> program,
                                 InstallScope scope) {
  if (auto done = kernel.SetNoNewPrivileges(); !done) {
    return base::Fail(base::ErrnoError("set no_new_privs", "", done.error()));
  }
  std::size_t instructions = program.size() / 8;
  std::uint32_t flags = scope == InstallScope::kAllThreads ? SECCOMP_FILTER_FLAG_TSYNC : 0;
  auto result = kernel.AddFilter(program, flags);
  if (!result) return base::Fail(InstallError(instructions, result.error()));
  if (*result > 0) {
    base::Error error = InstallError(instructions, ESRCH);
    error.errno_value = 0;
    error.reason = fmt::format("thread {} has filters that this thread has not", *result);
    return base::Fail(error);
  }
  return {};
}

}  // namespace callgate::kernel
