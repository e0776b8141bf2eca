#include "bench/notify_by_hand.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/futex.h>
#include <linux/openat2.h>
#include <linux/seccomp.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <cstring>
#include <functional>
#include <span>
#include <utility>

#include "bench/measure.h"
#include "kernel/kernel.h"

namespace callgate::bench {
namespace {

// Answers every call until nobody is left.
void ServeByHand(int listener,
                 const std::function<void(const kernel::Notification& notification)>& answer) {
  kernel::Kernel& kernel = kernel::RealKernel();
  kernel::NotificationRoom room{};
  while (true) {
    auto notification = kernel.Receive(listener, room);
    if (notification) {
      answer(*notification);
    } else if (notification.error() == ENOENT) {  // Linux 6.11
      return;
    }
  }
}

void Give(HandOver how, int listener, std::uint64_t id, base::UniqueFd fd) {
  if (how == HandOver::kAddThenSend) {
    (void)kernel::RealKernel().ReplyDescriptor(listener, id, std::move(fd), O_CLOEXEC);
    return;
  }
  seccomp_notif_addfd add{.id = id,
                          .flags = SECCOMP_ADDFD_FLAG_SEND,
                          .srcfd = static_cast<std::uint32_t>(fd.get()),
                          .newfd = 0,
                          .newfd_flags = O_CLOEXEC};
  (void)ioctl(listener, SECCOMP_IOCTL_NOTIF_ADDFD, &add);
}

}  // namespace

void FutexPingPong(Bench& bench) {
  auto wait_for = [&](std::uint32_t value) {
    while (bench.board.word != value) {
      syscall(SYS_futex, &bench.board.word, FUTEX_WAIT, 1 - value, nullptr, nullptr, 0);
    }
  };
  auto set = [&](std::uint32_t value) {
    bench.board.word = value;
    syscall(SYS_futex, &bench.board.word, FUTEX_WAKE, 1, nullptr, nullptr, 0);
  };
  bench.board.word = 0;
  const pid_t other = Fork([&] {
    while (true) {
      wait_for(1);
      set(0);
    }
  });
  Reap(Fork([&] {
    Measure(bench, [&] {
      set(1);
      wait_for(0);
      return true;
    });
  }));
  kill(other, SIGKILL);
  waitpid(other, nullptr, 0);
}

void BareVerdict(Bench& bench) {
  Notifier target =
      StartNotifier(bench, SYS_getppid, [] { return syscall(SYS_getppid) < 0 && errno == EPERM; });
  ServeByHand(target.listener.get(), [&](const kernel::Notification& notification) {
    (void)kernel::RealKernel().ReplyErrno(target.listener.get(), notification.id, EPERM);
  });
  Reap(target.pid);
}

template <bool kAsks>
void BareRead(Bench& bench) {
  Notifier target = StartNotifier(bench, SYS_memfd_create, [] {
    return syscall(SYS_memfd_create, "a name that is looked at", 0) < 0 && errno == EPERM;
  });
  ServeByHand(target.listener.get(), [&](const kernel::Notification& notification) {
    std::array<std::byte, 256> bytes;
    kernel::Kernel& kernel = kernel::RealKernel();
    (void)kernel.ReadMemory(notification.tid, notification.call.args[0], bytes);
    if (!kAsks || kernel.IsPending(target.listener.get(), notification.id)) {
      (void)kernel.ReplyErrno(target.listener.get(), notification.id, EPERM);
    }
  });
  Reap(target.pid);
}

template void BareRead<false>(Bench& bench);
template void BareRead<true>(Bench& bench);

template <HandOver kHandOver>
void BareOpen(Bench& bench) {
  Notifier target =
      StartNotifier(bench, SYS_openat, [path = bench.file] { return OpenAndClose(path); });
  ServeByHand(target.listener.get(), [&](const kernel::Notification& notification) {
    base::UniqueFd fd(open(bench.file.c_str(), O_RDONLY | O_CLOEXEC));
    Give(kHandOver, target.listener.get(), notification.id, std::move(fd));
  });
  Reap(target.pid);
}

template <HandOver kHandOver>
void BareLookedOpen(Bench& bench) {
  Notifier target =
      StartNotifier(bench, SYS_openat, [path = bench.file] { return OpenAndClose(path); });
  kernel::Kernel& kernel = kernel::RealKernel();
  auto pidfd = kernel.OpenThreadPidfd(target.pid);
  base::UniqueFd root(open("/", O_PATH | O_CLOEXEC));
  base::UniqueFd descriptors(open("/proc/self/fd", O_PATH | O_CLOEXEC));
  if (!pidfd || !descriptors.valid()) Die("cannot look at the measured process");
  ServeByHand(target.listener.get(), [&](const kernel::Notification& notification) {
    std::array<char, 256> path;
    (void)kernel.ReadMemory(notification.tid, notification.call.args[1],
                            std::as_writable_bytes(std::span(path)));
    (void)kernel.QueryThread(pidfd->get());
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3,
                                    .pid = notification.tid};
    std::array<__user_cap_data_struct, 2> capabilities{};
    syscall(SYS_capget, &header, capabilities.data());
    open_how how{.flags = O_PATH | O_CLOEXEC, .mode = 0, .resolve = RESOLVE_NO_SYMLINKS};
    base::UniqueFd object(
        static_cast<int>(syscall(SYS_openat2, root.get(), path.data() + 1, &how, sizeof how)));
    struct statx status{};
    statx(object.get(), "", AT_EMPTY_PATH, STATX_TYPE | STATX_MNT_ID, &status);
    std::array<char, 16> name{};
    std::to_chars(name.data(), name.data() + name.size() - 1, object.get());
    base::UniqueFd fd(openat(descriptors.get(), name.data(), O_RDONLY | O_CLOEXEC));
    Give(kHandOver, target.listener.get(), notification.id, std::move(fd));
  });
  Reap(target.pid);
}

template void BareOpen<HandOver::kAddThenSend>(Bench& bench);
template void BareOpen<HandOver::kAddAndSend>(Bench& bench);
template void BareLookedOpen<HandOver::kAddThenSend>(Bench& bench);
template void BareLookedOpen<HandOver::kAddAndSend>(Bench& bench);

void PtraceStop(Bench& bench) {
  const pid_t pid = Fork([&] {
    ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    raise(SIGSTOP);
    Measure(bench, [] { return syscall(SYS_getppid) > 0; });
  });
  waitpid(pid, nullptr, 0);
  ptrace(PTRACE_SETOPTIONS, pid, nullptr, PTRACE_O_TRACESECCOMP);
  // A stop at the entry of each call, as a tracer with a filter has (PTRACE_O_TRACESECCOMP), is
  // half of the two stops of PTRACE_SYSCALL.
  for (int status = 0; !WIFEXITED(status);) {
    ptrace(PTRACE_SYSCALL, pid, nullptr, nullptr);
    waitpid(pid, &status, 0);
  }
  for (std::size_t i = 0; i < bench.calls; ++i) bench.board.samples[i] /= 2;
}

void Broker(Bench& bench) {
  std::array<int, 2> sockets{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets.data()) != 0) Die("socketpair");
  union Control {
    std::array<char, CMSG_SPACE(sizeof(int))> bytes;
    cmsghdr header;
  };
  const pid_t broker = Fork([&] {
    std::array<char, 4096> path{};
    while (recv(sockets[1], path.data(), path.size() - 1, 0) > 0) {
      const int fd = open(path.data(), O_RDONLY | O_CLOEXEC);
      Control control{};
      char byte = 0;
      iovec part{&byte, 1};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = &control;
      message.msg_controllen = sizeof control;
      control.header = {CMSG_LEN(sizeof fd), SOL_SOCKET, SCM_RIGHTS};
      std::memcpy(CMSG_DATA(&control.header), &fd, sizeof fd);
      sendmsg(sockets[1], &message, 0);
      close(fd);
    }
  });
  Reap(Fork([&] {
    Measure(bench, [&] {
      send(sockets[0], bench.file.c_str(), bench.file.size() + 1, 0);
      Control control{};
      char byte = 0;
      iovec part{&byte, 1};
      msghdr message{};
      message.msg_iov = &part;
      message.msg_iovlen = 1;
      message.msg_control = &control;
      message.msg_controllen = sizeof control;
      if (recvmsg(sockets[0], &message, MSG_CMSG_CLOEXEC) != 1) return false;
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(&control.header), sizeof fd);
      return close(fd) == 0;
    });
  }));
  close(sockets[0]);
  close(sockets[1]);
  kill(broker, SIGKILL);
  waitpid(broker, nullptr, 0);
}

void NativeOpen(Bench& bench) {
  Reap(Fork([&] { Measure(bench, [&] { return OpenAndClose(bench.file); }); }));
}

}  // namespace callgate::bench
