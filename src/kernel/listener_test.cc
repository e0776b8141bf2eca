// What the running kernel does with the answers to notified calls.

#include <fcntl.h>
#include <linux/filter.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <functional>
#include <utility>

#include "gtest/gtest.h"
#include "kernel/kernel.h"

namespace callgate::kernel {
namespace {

// A child whose getppid(2) is notified. `call` runs in it; false makes the test fail.
class Target {
 public:
  explicit Target(const std::function<bool()>& call) {
    std::array<int, 2> pipe_fds{};
    EXPECT_EQ(pipe(pipe_fds.data()), 0);
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      std::array<sock_filter, 4> code{{{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
                                       {BPF_JMP | BPF_JEQ | BPF_K, 0, 1, SYS_getppid},
                                       {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_USER_NOTIF},
                                       {BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}}};
      (void)RealKernel().SetNoNewPrivileges();
      auto listener = RealKernel().AddFilter(
          std::as_bytes(std::span(code)), SECCOMP_FILTER_FLAG_NEW_LISTENER | kFlagWaitKillableRecv);
      int number = listener ? *listener : -1;
      (void)!write(pipe_fds[1], &number, sizeof number);
      _exit(call() ? 0 : 1);
    }
    int number = -1;
    EXPECT_EQ(read(pipe_fds[0], &number, sizeof number), static_cast<ssize_t>(sizeof number));
    close(pipe_fds[0]);
    close(pipe_fds[1]);
    auto pidfd = RealKernel().OpenPidfd(pid_);
    auto taken = RealKernel().TakeDescriptor(pidfd ? pidfd->get() : -1, number);
    EXPECT_TRUE(taken);
    if (taken) listener_ = std::move(*taken);
  }
  ~Target() {
    int status = -1;
    waitpid(pid_, &status, 0);
    EXPECT_EQ(status, 0);
  }
  int listener() const { return listener_.get(); }
  Notification Receive() const {
    NotificationRoom room{.id = 1, .rest = {}};  // a call before this one
    auto notification = RealKernel().Receive(listener(), room);
    EXPECT_EQ(room.id, notification ? notification->id : 0);
    EXPECT_TRUE(notification);
    return notification.value_or(Notification{});
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  base::UniqueFd listener_;
};

long Getppid() { return syscall(SYS_getppid); }

// Trap 1: a positive `error` would become a successful return value.
TEST(Listener, AnErrnoIsAFailureAndAValueIsNot) {
  Target target([] {
    bool failed = Getppid() == -1 && errno == EACCES;
    return failed && Getppid() == 13 && Getppid() == -1 && errno == 1;
  });
  (void)RealKernel().ReplyErrno(target.listener(), target.Receive().id, EACCES);
  (void)RealKernel().ReplyValue(target.listener(), target.Receive().id, 13);
  (void)RealKernel().ReplyValue(target.listener(), target.Receive().id, -1);
}

// Trap 2: the request's number says that its argument is a pointer, and it is not.
TEST(Listener, WakesSynchronouslyOnThisKernel) {
  Target target([] { return Getppid() == 1; });
  auto set = RealKernel().WakeSynchronously(target.listener());
  // Linux 6.6; nothing depends on it.
  EXPECT_TRUE(set || set.error() == ENOTTY || set.error() == EINVAL);
  if (auto flags = ioctl(target.listener(), SECCOMP_IOW(4, std::uint64_t), 1 << 30); flags < 0) {
    EXPECT_EQ(errno, set ? EINVAL : set.error());  // an unknown flag by value is seen as such
  }
  (void)RealKernel().ReplyValue(target.listener(), target.Receive().id, 1);
}

// Trap 5: the buffer must be zero each time.
TEST(Listener, ReceivesAgainAndAgain) {
  constexpr int kCalls = 100;
  Target target([] {
    for (int i = 0; i < kCalls; ++i) {
      if (Getppid() != i) return false;
    }
    return true;
  });
  for (int i = 0; i < kCalls; ++i) {
    Notification notification = target.Receive();
    EXPECT_EQ(notification.tid, target.pid());
    EXPECT_TRUE(RealKernel().IsPending(target.listener(), notification.id));
    EXPECT_TRUE(RealKernel().ReplyValue(target.listener(), notification.id, i));
    auto again = RealKernel().ReplyValue(target.listener(), notification.id, i);
    ASSERT_FALSE(again);
    EXPECT_TRUE(again.error() == ENOENT || again.error() == EINPROGRESS);
  }
}

TEST(Listener, ADescriptorIsGivenWithItsFlags) {
  Target target([] {
    long fd = Getppid();
    return fd > 2 && fcntl(static_cast<int>(fd), F_GETFD) == FD_CLOEXEC;
  });
  base::UniqueFd file(open("/dev/null", O_RDONLY | O_CLOEXEC));
  EXPECT_TRUE(RealKernel().ReplyDescriptor(target.listener(), target.Receive().id, std::move(file),
                                           O_CLOEXEC));
}

TEST(Listener, AFullTableLeavesTheCallWaiting) {
  Target target([] {
    rlimit none{.rlim_cur = 0, .rlim_max = 0};
    return setrlimit(RLIMIT_NOFILE, &none) == 0 && Getppid() == -1 && errno == EMFILE;
  });
  Notification notification = target.Receive();
  auto given =
      RealKernel().ReplyDescriptor(target.listener(), notification.id, base::UniqueFd(dup(0)), 0);
  ASSERT_FALSE(given);
  EXPECT_EQ(given.error(), EMFILE);
  EXPECT_TRUE(RealKernel().IsPending(target.listener(), notification.id));
  EXPECT_TRUE(RealKernel().ReplyErrno(target.listener(), notification.id, EMFILE));
}

}  // namespace
}  // namespace callgate::kernel
