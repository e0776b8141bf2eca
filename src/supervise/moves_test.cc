#include "supervise/moves.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "gtest/gtest.h"
#include "supervise/engine.h"
#include "testing/fake_kernel.h"

namespace callgate::supervise {
namespace {

using policy::DeepSubject;
using policy::DeepValue;
using policy::PolicyAction;
using policy::Verb;

constexpr int kListener = 77;
constexpr std::int32_t kChdir = 80;
constexpr PolicyAction kAllow{Verb::kAllow, 0};
constexpr PolicyAction kDeny{Verb::kErrno, EACCES};
const DeepSubject kFilename{.kind = DeepSubject::Kind::kPath, .slot = 0};

// A process in /usr that waits, traced by this one.
class Caller {
 public:
  explicit Caller(bool has_threads = false) {
    std::array<int, 2> ready{};
    EXPECT_EQ(pipe(ready.data()), 0);
    // ThreadSanitizer's fork() starts a thread in the child.
    pid_ =
        has_threads
            ? fork()
            : static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (chdir("/usr") < 0) _exit(1);
      std::thread other;
      if (has_threads) other = std::thread([] { pause(); });
      (void)!write(ready[1], "r", 1);
      while (true) pause();
    }
    char byte = 0;
    EXPECT_EQ(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    close(ready[1]);
    EXPECT_TRUE(kernel::RealKernel().Seize(pid_, 0).has_value());
  }
  ~Caller() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  Caller(const Caller&) = delete;
  Caller& operator=(const Caller&) = delete;
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = 0;
};

DecideFunction AllowOnly(const std::string& path) {
  return [=](const abi::Call&, const policy::LookFunction& look) {
    if (!look) return PolicyAction{Verb::kLook, 0};
    return look(kFilename) == DeepValue(path) ? kAllow : kDeny;
  };
}

class Move : public ::testing::Test {
 protected:
  Move() { kernel.signal_process_error = 0; }

  // chdir(path) of that thread.
  Outcome Chdir(pid_t tid, const std::string& path, const DecideFunction& decide) {
    for (std::size_t i = 0; i <= path.size(); ++i) {
      kernel.memory[0x1000 + i] = static_cast<std::byte>(path.c_str()[i]);
    }
    kernel::Notification call{
        .id = 1,
        .tid = tid,
        .call = {.nr = kChdir, .arch = 0xc000003e, .ip = 0, .args = {0x1000, 0, 0, 0, 0, 0}}};
    return engine.Handle({.listener = kListener,
                          .notification = call,
                          .hold =
                              [this](pid_t held_tid) {
                                held.push_back(held_tid);
                                return can_hold;
                              }},
                         decide);
  }

  testing::FakeKernel kernel;
  Engine engine{kernel};
  std::vector<pid_t> held;
  bool can_hold = true;
};

TEST_F(Move, AllowedOneIsHeldAndGoesOn) {
  Caller caller;
  EXPECT_EQ(Chdir(caller.pid(), "/usr", AllowOnly("/usr")).kind, Outcome::Kind::kAnswered);
  EXPECT_EQ(held, (std::vector<pid_t>{caller.pid()}));
  EXPECT_EQ(kernel.continued, (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(engine.HandleReturn(caller.pid(), AllowOnly("/usr")).kind, Outcome::Kind::kAnswered);
}

TEST_F(Move, DeniedOneDoesNotGoOn) {
  Caller caller;
  Outcome outcome = Chdir(caller.pid(), "/etc/../etc", AllowOnly("/usr"));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.errno_value, EACCES);
  EXPECT_TRUE(held.empty());
  EXPECT_TRUE(kernel.continued.empty());
}

TEST_F(Move, DeniedOneOfNothingIsNotReported) {
  Caller caller;
  EXPECT_EQ(Chdir(caller.pid(), "/none", AllowOnly("/usr")).kind, Outcome::Kind::kAnswered);
  EXPECT_EQ(kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{1, EACCES}}));
}

// The path led to a permitted directory when it was looked at, and to another one when the kernel
// followed it.
TEST_F(Move, ToAnotherDirectoryThanAllowedIsKilled) {
  Caller caller;
  Chdir(caller.pid(), "/etc", AllowOnly("/etc"));
  ASSERT_EQ(kernel.continued.size(), 1U);
  Outcome outcome = engine.HandleReturn(caller.pid(), AllowOnly("/etc"));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kKilled);
  EXPECT_EQ(outcome.reason, "it has come to /usr: killed before its next instruction");
  // It is judged once.
  EXPECT_EQ(engine.HandleReturn(caller.pid(), AllowOnly("/etc")).kind, Outcome::Kind::kAnswered);
}

TEST_F(Move, ThatFailedIsNotJudged) {
  Caller caller;
  Chdir(caller.pid(), "/etc", AllowOnly("/etc"));
  kernel.registers.rax = static_cast<unsigned long long>(-EACCES);
  EXPECT_EQ(engine.HandleReturn(caller.pid(), AllowOnly("/etc")).kind, Outcome::Kind::kAnswered);
}

TEST_F(Move, OfACallerThatIsGoneIsNotTakenForAnothers) {
  Caller caller;
  Chdir(caller.pid(), "/etc", AllowOnly("/etc"));
  kernel.signal_process_error = ESRCH;
  EXPECT_EQ(engine.HandleReturn(caller.pid(), AllowOnly("/etc")).kind, Outcome::Kind::kAnswered);
}

TEST_F(Move, StopOfAnybodyElseIsNothingToJudge) {
  EXPECT_EQ(engine.HandleReturn(getpid(), AllowOnly("/none")).kind, Outcome::Kind::kAnswered);
}

TEST_F(Move, CallThatSomebodyElseAnsweredIsNotRemembered) {
  Caller caller;
  kernel.gone = {1};  // the deadline refused it
  Chdir(caller.pid(), "/etc", AllowOnly("/etc"));
  EXPECT_TRUE(held.empty());
  EXPECT_TRUE(kernel.continued.empty());
  EXPECT_EQ(engine.HandleReturn(caller.pid(), AllowOnly("/etc")).kind, Outcome::Kind::kAnswered);
}

TEST_F(Move, CallerThatCannotBeStoppedIsRefused) {
  Caller caller;
  can_hold = false;
  Outcome outcome = Chdir(caller.pid(), "/etc", AllowOnly("/etc"));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.reason,
            "the caller cannot be stopped behind the call, so where it comes to could not be "
            "judged");
  EXPECT_TRUE(kernel.continued.empty());
  EXPECT_EQ(engine.HandleReturn(caller.pid(), AllowOnly("/etc")).kind, Outcome::Kind::kAnswered);
}

TEST_F(Move, CallerWithThreadsIsRefused) {
  Caller caller(/*has_threads=*/true);
  Outcome outcome = Chdir(caller.pid(), "/etc", AllowOnly("/etc"));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.reason,
            "the caller's process has several threads, and any of them could use the directory "
            "before it is judged");
  EXPECT_TRUE(held.empty());
  EXPECT_TRUE(kernel.continued.empty());
}

TEST_F(Move, UntracedCallerIsRefused) {
  Outcome outcome = Chdir(gettid(), "/etc", AllowOnly("/etc"));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.reason,
            "the caller is not traced (CLONE_UNTRACED?), so what comes of it could not be judged");
  EXPECT_TRUE(kernel.continued.empty());
}

}  // namespace
}  // namespace callgate::supervise
