// What a call costs that somebody else decides: nanoseconds seen by the calling process, one call
// at a time, everything on one CPU. The unit beside them is a futex ping-pong between two
// processes: two switches, which no way of asking another process can do without.
//
// "bare" rows do by hand the least the kernel asks for, so they show what is the kernel's; the rows
// of callgate run the supervisor's own threads and engine. Each round measures every row once, in a
// process of its own.
//
// usage: notify_cost [CALLS-PER-ROUND]

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/futex.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <vector>

#include "bench/measure.h"
#include "kernel/kernel.h"
#include "supervise/deciders.h"
#include "supervise/engine.h"

namespace callgate::bench {
namespace {

using policy::PolicyAction;
using policy::Verb;

constexpr std::size_t kMaxCalls = 100'000;

// Shared between the processes of one row.
struct Board {
  std::atomic<std::uint32_t> word{0};
  std::atomic<std::uint32_t> go{0};
  std::atomic<bool> failed{false};
  std::array<double, kMaxCalls> samples{};
};

struct Bench {
  Board& board;
  std::size_t calls;
  std::string file;  // what is opened
};

// --- the calling side

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

// A filter that notifies the call `nr`, and its listener.
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

// The listener of a child that measures `call`; it is there before the child goes on.
struct Notifier {
  pid_t pid = 0;
  base::UniqueFd listener;
};
Notifier StartNotifier(Bench& bench, std::uint32_t nr, const std::function<bool()>& call) {
  bench.board.word = 0;
  bench.board.go = 0;
  const pid_t pid = Fork([&] {
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

// --- the deciding side, by hand

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

// Answers every call until nobody is left.
void ServeByHand(int listener,
                 const std::function<void(const kernel::Notification& notification)>& answer) {
  kernel::Kernel& kernel = kernel::RealKernel();
  while (true) {
    auto notification = kernel.Receive(listener);
    if (notification) {
      answer(*notification);
    } else if (notification.error() == ENOENT) {  // Linux 6.11
      return;
    }
  }
}

void BareVerdict(Bench& bench) {
  Notifier target =
      StartNotifier(bench, SYS_getppid, [] { return syscall(SYS_getppid) < 0 && errno == EPERM; });
  ServeByHand(target.listener.get(), [&](const kernel::Notification& notification) {
    (void)kernel::RealKernel().ReplyErrno(target.listener.get(), notification.id, EPERM);
  });
  Reap(target.pid);
}

void BareRead(Bench& bench) {
  Notifier target = StartNotifier(bench, SYS_memfd_create, [] {
    return syscall(SYS_memfd_create, "a name that is looked at", 0) < 0 && errno == EPERM;
  });
  ServeByHand(target.listener.get(), [&](const kernel::Notification& notification) {
    std::array<std::byte, 64> bytes;
    kernel::Kernel& kernel = kernel::RealKernel();
    (void)kernel.ReadMemory(notification.tid, notification.call.args[0], bytes);
    if (kernel.IsPending(target.listener.get(), notification.id)) {
      (void)kernel.ReplyErrno(target.listener.get(), notification.id, EPERM);
    }
  });
  Reap(target.pid);
}

// A file that is known beforehand: neither the path nor who asks is looked at.
void BareOpen(Bench& bench) {
  Notifier target =
      StartNotifier(bench, SYS_openat, [path = bench.file] { return OpenAndClose(path); });
  ServeByHand(target.listener.get(), [&](const kernel::Notification& notification) {
    base::UniqueFd fd(open(bench.file.c_str(), O_RDONLY | O_CLOEXEC));
    (void)kernel::RealKernel().ReplyDescriptor(target.listener.get(), notification.id, fd.get(),
                                               O_CLOEXEC);
  });
  Reap(target.pid);
}

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

// --- callgate's own

void Supervise(Bench& bench, std::uint32_t nr, const std::function<bool()>& call,
               const supervise::DecideFunction& decide, supervise::Fixed fixed = {}) {
  Notifier target = StartNotifier(bench, nr, call);
  // As `callgate run` has it: two threads beside the one that looks after processes.
  supervise::Engine engine(kernel::RealKernel(), fixed);
  supervise::Deciders::Callbacks callbacks{
      .decide =
          [&](const supervise::Turn& turn) {
            supervise::Outcome outcome = engine.Handle(turn, decide);
            if (outcome.kind != supervise::Outcome::Kind::kAnswered) {
              (void)kernel::RealKernel().ReplyErrno(turn.listener, turn.notification.id,
                                                    outcome.errno_value);
            }
          },
      .refuse = [&](const kernel::Notification&,
                    supervise::Deciders::Refusal) { bench.board.failed = true; },
      .fail = [](std::string_view, int) { Die("the listener is broken"); }};
  supervise::Deciders deciders(kernel::RealKernel(), target.listener.get(), std::move(callbacks));
  if (!deciders.Start()) Die("cannot start a thread");
  Reap(target.pid);
}

void Verdict(Bench& bench) {
  Supervise(
      bench, SYS_getppid, [] { return syscall(SYS_getppid) < 0 && errno == EPERM; },
      [](const abi::Call&, const policy::LookFunction&) {
        return PolicyAction{Verb::kErrno, EPERM};
      });
}

void ReadArgument(Bench& bench) {
  Supervise(
      bench, SYS_memfd_create,
      [] { return syscall(SYS_memfd_create, "a name that is looked at", 0) < 0 && errno == EPERM; },
      [](const abi::Call&, const policy::LookFunction& look) {
        if (!look) return PolicyAction{Verb::kLook, 0};
        auto name = look({.kind = policy::DeepSubject::Kind::kString, .slot = 0});
        const auto* text = std::get_if<std::string>(&name);
        return PolicyAction{Verb::kErrno, text != nullptr && text->size() == 24 ? EPERM : EIO};
      });
}

void OpenUnder(Bench& bench, supervise::Fixed fixed) {
  Supervise(
      bench, SYS_openat, [path = bench.file] { return OpenAndClose(path); },
      [&](const abi::Call&, const policy::LookFunction& look) {
        if (!look) return PolicyAction{Verb::kLook, 0};
        auto path = look({.kind = policy::DeepSubject::Kind::kPath, .slot = 1});
        const auto* text = std::get_if<std::string>(&path);
        bool is_allowed = text != nullptr && *text == bench.file;
        return is_allowed ? PolicyAction{Verb::kAllow, 0} : PolicyAction{Verb::kErrno, EACCES};
      },
      fixed);
}
// The policy denies setgroups, setns, unshare, chroot and pivot_root; or it does not.
void Open(Bench& bench) { OpenUnder(bench, {.groups = true, .namespaces = true, .root = true}); }
void OpenByAnybody(Bench& bench) { OpenUnder(bench, {}); }

struct Row {
  const char* name;
  void (*run)(Bench& bench);
  Rounds median = {}, tail = {};
};

int Main(int argc, char** argv) {
  PinToOneCpu();
  const std::size_t calls = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 5'000;
  if (calls < 100 || calls > kMaxCalls) Die("usage: notify_cost [CALLS-PER-ROUND]");
  std::string folder = (std::filesystem::temp_directory_path() / "notify_cost.XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) Die("cannot make a folder");
  std::ofstream(folder + "/file") << "x";
  void* shared =
      mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) Die("cannot map memory");
  Bench bench{*new (shared) Board, calls, folder + "/file"};

  std::vector<Row> rows{{"futex ping-pong", FutexPingPong},
                        {"verdict, bare", BareVerdict},
                        {"verdict", Verdict},
                        {"read + ID_VALID, bare", BareRead},
                        {"read + ID_VALID", ReadArgument},
                        {"open+close, native", NativeOpen},
                        {"open+close, bare", BareOpen},
                        {"open+close", Open},
                        {"open+close, may change ids", OpenByAnybody},
                        {"open+close, broker process", Broker},
                        {"ptrace stop", PtraceStop}};
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (Row& row : rows) {
      bench.board.failed = false;
      row.run(bench);
      if (bench.board.failed)
        Die(fmt::format("{}: a call had not the result it must have", row.name));
      std::vector<double> sorted(bench.board.samples.begin(),
                                 bench.board.samples.begin() + static_cast<std::ptrdiff_t>(calls));
      std::ranges::sort(sorted);
      row.median.push_back(sorted[calls / 2]);
      row.tail.push_back(sorted[calls * 99 / 100]);
    }
  }
  std::filesystem::remove_all(folder);

  fmt::print("{:28} {:>10} {:>10}   x ping-pong: median (least-greatest of {} rounds of {})\n", "",
             "p50 ns", "p99 ns", kRounds, calls);
  for (const Row& row : rows) {
    fmt::print("{:28} {:>10.0f} {:>10.0f}   {}\n", row.name, Median(row.median), Median(row.tail),
               RatioText(row.median, rows.front().median));
  }
  return 0;
}

}  // namespace
}  // namespace callgate::bench

int main(int argc, char** argv) { return callgate::bench::Main(argc, argv); }
