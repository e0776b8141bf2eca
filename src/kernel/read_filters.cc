#include "kernel/read_filters.h"

#include <linux/seccomp.h>
#include <sys/wait.h>

#include <cerrno>
#include <string>
#include <utility>

#include "fmt/format.h"

namespace callgate::kernel {
namespace {

using Filters = std::vector<std::vector<std::byte>>;

base::Error ReadError(pid_t tid, int errno_value) {
  base::Error error =
      base::ErrnoError("read the filters of", fmt::format("process {}", tid), errno_value);
  switch (errno_value) {
    case EPERM:
      error.reason = "it has ended, another program traces it, or it is not yours to trace";
      break;
    case EACCES:
      error.reason = "that takes CAP_SYS_ADMIN and a caller without a seccomp filter of its own";
      error.advice = "run callgate as root, outside of a container";
      break;
    case EMEDIUMTYPE:
      error.reason = "one of them is not made of classic BPF";
      break;
    case EIO:
      error.reason = "this kernel was built without CONFIG_CHECKPOINT_RESTORE, or is too old";
      break;
    default:
      break;
  }
  return error;
}

// Of a stopped thread.
SysResult<Filters> ReadAll(Kernel& kernel, pid_t tid) {
  Filters filters;
  while (true) {
    auto filter = kernel.ReadFilter(tid, static_cast<std::uint32_t>(filters.size()));
    if (filter) {
      filters.push_back(*std::move(filter));
      continue;
    }
    if (filter.error() == ENOENT) return filters;  // behind the last one
    if (filter.error() != EINVAL || !filters.empty()) return std::unexpected(filter.error());
    // None at all, or a kernel that does not tell.
    const auto mode = kernel.SeccompMode(tid);
    if (!mode) return std::unexpected(mode.error());
    if (*mode == SECCOMP_MODE_FILTER) return std::unexpected(EIO);
    return filters;
  }
}

}  // namespace

base::Result<Filters> FiltersOf(Kernel& kernel, pid_t tid) {
  auto fail = [&](int errno_value) { return base::Fail(ReadError(tid, errno_value)); };
  if (auto seized = kernel.Seize(tid, 0); !seized) return fail(seized.error());
  if (auto interrupted = kernel.Interrupt(tid); !interrupted) return fail(interrupted.error());
  const auto stop = kernel.Wait(tid, WSTOPPED | WEXITED);
  if (!stop) return fail(stop.error());
  if (!WIFSTOPPED(stop->status)) return fail(ESRCH);
  const SysResult<Filters> filters = ReadAll(kernel, tid);
  // Whatever stop came first will do; if it was one for a signal, the signal is still to be
  // delivered.
  const bool is_event = stop->status >> 16 != 0;
  const int signal = is_event ? 0 : WSTOPSIG(stop->status);
  if (auto released = kernel.Continue(tid, Resume::kDetach, signal); !released) {
    return fail(released.error());
  }
  if (!filters) return fail(filters.error());
  return *filters;
}

}  // namespace callgate::kernel
