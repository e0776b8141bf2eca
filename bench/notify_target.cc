// The calling side of the benchmarks of notified calls.

#include "bench/notify_target.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <span>
#include <utility>

#include "bench/measure.h"
#include "kernel/kernel.h"

namespace callgate::bench {

int NotifyCall(std::uint32_t nr) {
  std::array<sock_filter, 4> code{{{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
                                   {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, nr},
                                   {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF},
                                   {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}};
  prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
  auto listener = kernel::RealKernel().AddFilter(
      std::as_bytes(std::span(code)),
      SECCOMP_FILTER_FLAG_NEW_LISTENER | kernel::kFlagWaitKillableRecv);
  if (!listener) Die("cannot install a filter with a listener");
  return *listener;
}

void Measure(Bench& bench, const std::function<bool()>& call) {
  for (std::size_t i = 0; i < bench.calls / 10 + 10; ++i) {
    if (!call()) bench.board.failed = true;
  }
  for (std::size_t i = 0; i < bench.calls; ++i) {
    const double begin = NowNanoseconds();
    (void)call();
    bench.board.samples[i] = NowNanoseconds() - begin;
  }
}

bool OpenAndClose(const std::string& path) {
  const long fd = syscall(SYS_openat, AT_FDCWD, path.c_str(), O_RDONLY | O_CLOEXEC);
  return fd >= 0 && close(static_cast<int>(fd)) == 0;
}

pid_t Fork(const std::function<void()>& child) {
  const pid_t pid = fork();
  if (pid < 0) Die("cannot fork");
  if (pid != 0) return pid;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  child();
  _exit(0);
}

void Reap(pid_t pid) {
  int status = 0;
  waitpid(pid, &status, 0);
  if (!WIFEXITED(status) || WEXITSTATUS(status) != 0) Die("a measured process failed");
}

Notifier StartNotifier(Bench& bench, std::uint32_t nr, const std::function<bool()>& call,
                       const std::function<void()>& begin) {
  bench.board.word = 0;
  bench.board.go = 0;
  const pid_t pid = Fork([&] {
    begin();
    bench.board.word = static_cast<std::uint32_t>(NotifyCall(nr)) + 1;
    while (bench.board.go == 0) usleep(100);
    Measure(bench, call);
  });
  while (bench.board.word == 0) usleep(100);
  auto pidfd = kernel::RealKernel().OpenPidfd(pid);
  if (!pidfd) Die("cannot open a pidfd");
  auto listener =
      kernel::RealKernel().TakeDescriptor(pidfd->get(), static_cast<int>(bench.board.word) - 1);
  if (!listener) Die("cannot take the listener");
  (void)kernel::RealKernel().WakeSynchronously(listener->get());
  bench.board.go = 1;
  return {pid, std::move(*listener)};
}

}  // namespace callgate::bench
