#include "supervise/identities.h"

#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <csignal>
#include <thread>

#include "gtest/gtest.h"
#include "testing/fake_kernel.h"

namespace callgate::supervise {
namespace {

constexpr Fixed kAllFixed{.groups = true, .namespaces = true, .root = true};

// A thread that does as it is told, one thing after another.
class OtherThread {
 public:
  OtherThread() {
    thread_ = std::thread([this] {
      tid_ = gettid();
      for (int done = 0; done < 2; ++done) {
        while (told_ == done) std::this_thread::yield();
        if (told_ < 0) return;
        syscall(SYS_setresuid, -1, 4711 + done, -1);
        done_ = done + 1;
      }
    });
    while (tid_ == 0) std::this_thread::yield();
  }
  ~OtherThread() {
    if (done_ < 2) told_ = -1;
    thread_.join();
  }
  void ChangeIds() {
    int next = ++told_;
    while (done_ < next) std::this_thread::yield();
  }
  pid_t tid() const { return tid_; }

 private:
  std::thread thread_;
  std::atomic<pid_t> tid_{0};
  std::atomic<int> told_{0}, done_{0};
};

// What is asked for in short must be what the whole status says.
void ExpectSame(const std::optional<Identity>& quick, const std::optional<Identity>& whole) {
  ASSERT_TRUE(quick && whole);
  EXPECT_EQ(quick->credentials, whole->credentials);
  EXPECT_EQ(quick->tgid, whole->tgid);
  EXPECT_EQ(quick->pid_namespace, whole->pid_namespace);
  EXPECT_EQ(quick->mount_namespace, whole->mount_namespace);
}

TEST(Identities, NewIdsAreSeenAtOnce) {
  Identities identities(kernel::RealKernel(), kAllFixed);
  OtherThread other;
  ExpectSame(identities.Of(other.tid()), ReadIdentity(other.tid()));
  other.ChangeIds();
  ExpectSame(identities.Of(other.tid()), ReadIdentity(other.tid()));
}

TEST(Identities, ThreadsOfAnotherUserNamespaceAreReadInFull) {
  Identities identities(kernel::RealKernel(), kAllFixed);
  ASSERT_NE(identities.Own(), nullptr);
  std::array<int, 2> pipe_fds{};
  ASSERT_EQ(pipe(pipe_fds.data()), 0);
  // Not fork(): ThreadSanitizer's starts a thread in the child, and a process with several cannot
  // change its user namespace.
  auto child = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
  if (child == 0) {
    char result = unshare(CLONE_NEWUSER) == 0 ? 'y' : 'n';
    (void)!write(pipe_fds[1], &result, 1);
    pause();
  }
  char result = 0;
  ASSERT_EQ(read(pipe_fds[0], &result, 1), 1);
  ExpectSame(identities.Of(child), ReadIdentity(child));
  EXPECT_EQ(identities.Of(child)->our_root, -1);
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  close(pipe_fds[0]);
  close(pipe_fds[1]);
  EXPECT_EQ(result, 'y');
}

// A process that changes its user namespace when it is told to.
class OtherProcess {
 public:
  OtherProcess() {
    EXPECT_EQ(pipe(tell_.data()), 0);
    EXPECT_EQ(pipe(hear_.data()), 0);
    // Not fork(): see above.
    pid_ = static_cast<pid_t>(syscall(SYS_clone, SIGCHLD, nullptr, nullptr, nullptr, nullptr));
    if (pid_ != 0) return;
    char byte = 0;
    (void)!read(tell_[0], &byte, 1);
    byte = unshare(CLONE_NEWUSER) == 0 ? 'y' : 'n';
    (void)!write(hear_[1], &byte, 1);
    pause();
  }
  ~OtherProcess() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
    for (int fd : {tell_[0], tell_[1], hear_[0], hear_[1]}) close(fd);
  }
  OtherProcess(const OtherProcess&) = delete;
  OtherProcess& operator=(const OtherProcess&) = delete;

  bool ChangeNamespace() {
    char byte = 'x';
    EXPECT_EQ(write(tell_[1], &byte, 1), 1);
    EXPECT_EQ(read(hear_[0], &byte, 1), 1);
    return byte == 'y';
  }
  pid_t pid() const { return pid_; }

 private:
  std::array<int, 2> tell_{}, hear_{};
  pid_t pid_ = 0;
};

TEST(Identities, WhoHasToldOfAChangeIsReadAnew) {
  Identities identities(kernel::RealKernel(), {.is_told = true});
  OtherProcess other;
  ExpectSame(identities.Of(other.pid()), ReadIdentity(other.pid()));
  identities.Tell(Change::kSelf);
  ASSERT_TRUE(other.ChangeNamespace());
  auto changed = identities.Of(other.pid());
  ExpectSame(changed, ReadIdentity(other.pid()));
  EXPECT_NE(changed->credentials.user_namespace, identities.Own()->credentials.user_namespace);
}

TEST(Identities, RootIsLookedAtOnceSomebodyMayHaveMovedOne) {
  Identities identities(kernel::RealKernel(), {.is_told = true});
  OtherThread other;
  EXPECT_GE(identities.Of(other.tid())->our_root, 0);
  identities.Tell(Change::kSelf);
  EXPECT_GE(identities.Of(other.tid())->our_root, 0);
  identities.Tell(Change::kRoot);
  EXPECT_EQ(identities.Of(other.tid())->our_root, -1);
  ExpectSame(identities.Of(other.tid()), ReadIdentity(other.tid()));
}

TEST(Identities, CallsThatChangeTheCallerAreKnownByTheirNames) {
  EXPECT_EQ(ChangeBy("unshare"), Change::kSelf);
  EXPECT_EQ(ChangeBy("setgroups32"), Change::kSelf);
  EXPECT_EQ(ChangeBy("setns"), Change::kRoot);
  EXPECT_EQ(ChangeBy("chroot"), Change::kRoot);
  EXPECT_EQ(ChangeBy("setuid"), Change::kNone) << "ids are asked for at every call";
}

TEST(Identities, WithoutAnyCapabilityNoneIsAskedFor) {
  pid_t child = fork();
  if (child == 0) {
    (void)!setresgid(4711, 4711, 4711);
    (void)!setresuid(4712, 4712, 4712);  // where we have that right: it takes the capabilities
    Identities identities(kernel::RealKernel(), kAllFixed);
    auto quick = identities.Of(gettid());
    auto whole = ReadIdentity(gettid());
    bool same = quick && whole && quick->credentials == whole->credentials &&
                quick->credentials.effective_capabilities == 0;
    _exit(same ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  EXPECT_EQ(status, 0);
}

// Trap 9: the number of a thread that is gone is given to another.
TEST(Identities, NumberOfAThreadThatIsGoneIsAsNew) {
  testing::FakeKernel kernel;
  kernel.thread_info = kernel::ThreadInfo{
      .tid = gettid(), .tgid = getpid(), .uids = {1, 1, 1, 1}, .gids = {1, 1, 1, 1}};
  Identities identities(kernel, kAllFixed);
  EXPECT_EQ(identities.Of(gettid())->credentials.uids[0], 1U);
  kernel.thread_info = std::unexpected(ESRCH);
  ExpectSame(identities.Of(gettid()), ReadIdentity(gettid()));
}

// A thread that executes a program takes over the number of its process's first one.
TEST(Identities, ThreadThatBearsAnotherNumberByNowIsNotTakenForThisOne) {
  testing::FakeKernel kernel;
  kernel.thread_info = kernel::ThreadInfo{
      .tid = gettid(), .tgid = getpid(), .uids = {1, 1, 1, 1}, .gids = {1, 1, 1, 1}};
  Identities identities(kernel, kAllFixed);
  EXPECT_EQ(identities.Of(gettid())->credentials.uids[0], 1U);
  kernel.thread_info->tid = gettid() + 1;
  ExpectSame(identities.Of(gettid()), ReadIdentity(gettid()));
}

TEST(Identities, KernelThatCannotTellIsNotAsked) {
  testing::FakeKernel kernel;  // ENOTTY: before Linux 6.13
  Identities identities(kernel, kAllFixed);
  ExpectSame(identities.Of(gettid()), ReadIdentity(gettid()));
}

TEST(Identities, NothingIsRememberedWherePoliciesLetItChange) {
  testing::FakeKernel kernel;
  kernel.thread_info = kernel::ThreadInfo{
      .tid = gettid(), .tgid = getpid(), .uids = {1, 1, 1, 1}, .gids = {1, 1, 1, 1}};
  for (Fixed fixed : {Fixed{.groups = true, .namespaces = false, .root = true},
                      Fixed{.groups = geteuid() != 0, .namespaces = false, .root = false}}) {
    Identities identities(kernel, fixed);
    ExpectSame(identities.Of(gettid()), ReadIdentity(gettid()));
  }
}

TEST(Identities, OfNobodyIsNone) {
  Identities identities(kernel::RealKernel(), kAllFixed);
  EXPECT_FALSE(identities.Of(0x7fffffff));
}

}  // namespace
}  // namespace callgate::supervise
