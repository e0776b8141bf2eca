#include "supervise/engine.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "testing/fake_kernel.h"

namespace callgate::supervise {
namespace {

using policy::PolicyAction;
using policy::Verb;

constexpr int kListener = 77;

// A waiting openat() of this very process, so that who calls can be read.
kernel::Notification OpenAt(std::uint64_t path, pid_t tid = gettid()) {
  return {.id = 1,
          .tid = tid,
          .call = {.nr = 257,
                   .arch = 0xc000003e,
                   .ip = 0,
                   .args = {static_cast<std::uint64_t>(-100), path, 0, 0, 0, 0}}};
}

void Put(testing::FakeKernel& kernel, std::uint64_t address, std::string_view text) {
  for (std::size_t i = 0; i <= text.size(); ++i) {
    kernel.memory[address + i] = i < text.size() ? static_cast<std::byte>(text[i]) : std::byte{};
  }
}

// Looks at the path and then says `action`.
DecideFunction LookThen(PolicyAction action) {
  return [action](const abi::Call&, const policy::LookFunction& look) {
    if (!look) return PolicyAction{Verb::kLook, 0};
    (void)look({.kind = policy::DeepSubject::Kind::kPath, .slot = 1});
    return action;
  };
}

constexpr PolicyAction kAllow{Verb::kAllow, 0};

Outcome Handle(testing::FakeKernel& kernel, const kernel::Notification& notification,
               const DecideFunction& decide) {
  return Engine(kernel).Handle({.listener = kListener, .notification = notification}, decide);
}

bool NothingWasDone(const testing::FakeKernel& kernel) {
  return kernel.injected.empty() && kernel.values.empty() && kernel.continued.empty();
}

TEST(Engine, AllowedFileIsOpenedAndHandedOver) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/dev/null");
  Outcome outcome = Handle(kernel, OpenAt(0x1000), LookThen(kAllow));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kAnswered);
  EXPECT_EQ(kernel.injected, (std::vector<std::pair<std::uint64_t, std::uint32_t>>{{1, 0}}));
  EXPECT_TRUE(kernel.continued.empty());
}

TEST(Engine, CloseOnExecGoesToTheCallersDescriptor) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/dev/null");
  kernel::Notification notification = OpenAt(0x1000);
  notification.call.args[2] = 02000000;
  Handle(kernel, notification, LookThen(kAllow));
  EXPECT_EQ(kernel.injected.at(0).second, 02000000U);
}

TEST(Engine, DeniedFileIsReportedAndNotOpened) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/dev/null");
  Outcome outcome = Handle(kernel, OpenAt(0x1000), LookThen({Verb::kErrno, EACCES}));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.errno_value, EACCES);
  EXPECT_TRUE(NothingWasDone(kernel));
}

TEST(Engine, UnreadablePathIsTheCallersFault) {
  testing::FakeKernel kernel;
  Outcome outcome = Handle(kernel, OpenAt(0x1000), LookThen(kAllow));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kAnswered);
  EXPECT_EQ(kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{1, EFAULT}}));
  EXPECT_TRUE(NothingWasDone(kernel));
}

// The policy allows it, whatever it sees; but it has not seen what it asked for.
TEST(Engine, WhatCannotBeLookedAtIsNotAllowed) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/dev/null");
  kernel::Notification notification = OpenAt(0x1000);
  notification.call.args[3] = 0x9000;  // nothing is there
  Outcome outcome =
      Handle(kernel, notification, [](const abi::Call&, const policy::LookFunction& look) {
        if (!look) return PolicyAction{Verb::kLook, 0};
        (void)look({.kind = policy::DeepSubject::Kind::kString, .slot = 3});
        return kAllow;
      });
  EXPECT_EQ(outcome.kind, Outcome::Kind::kAnswered);
  EXPECT_EQ(kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{1, EFAULT}}));
  EXPECT_TRUE(NothingWasDone(kernel));
}

TEST(Engine, CallerThatIsGoneIsForgotten) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/dev/null");
  kernel.gone = {1};
  Outcome outcome = Handle(kernel, OpenAt(0x1000), LookThen(kAllow));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kGone);
  EXPECT_TRUE(kernel.replies.empty());
  EXPECT_TRUE(NothingWasDone(kernel));
}

// Where the answer is all there is to performing it is the kernel that looks for the caller; where
// something is made nothing is begun.
TEST(Engine, CallerThatIsGoneLeavesNothingBehind) {
  std::string pattern = (std::filesystem::temp_directory_path() / "engine.XXXXXX").string();
  const std::filesystem::path folder = mkdtemp(pattern.data());
  for (int flags : {O_RDONLY, O_CREAT | O_WRONLY}) {
    testing::FakeKernel kernel;
    Put(kernel, 0x1000, (folder / "file").string());
    if (flags == O_RDONLY) Put(kernel, 0x1000, folder.string());
    kernel::Notification notification = OpenAt(0x1000);
    notification.call.args[2] = static_cast<std::uint64_t>(flags);
    kernel.gone = {1};
    Outcome outcome = Handle(kernel, notification, LookThen(kAllow));
    EXPECT_EQ(outcome.kind, Outcome::Kind::kGone) << flags;
    EXPECT_TRUE(kernel.replies.empty()) << flags;
    EXPECT_TRUE(NothingWasDone(kernel)) << flags;
  }
  EXPECT_TRUE(std::filesystem::is_empty(folder));
  std::filesystem::remove(folder);
}

// A folder with a file, a link to it, and a FIFO.
class Folder {
 public:
  Folder() {
    std::string pattern = (std::filesystem::temp_directory_path() / "engine.XXXXXX").string();
    at_ = mkdtemp(pattern.data());
    std::ofstream(at_ / "file") << "x";
    std::filesystem::create_symlink("file", at_ / "link");
    EXPECT_EQ(mkfifo((at_ / "fifo").c_str(), 0600), 0);
  }
  ~Folder() { std::filesystem::remove_all(at_); }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;

  std::string operator/(std::string_view name) const { return (at_ / name).string(); }

 private:
  std::filesystem::path at_;
};

// An open under a policy that lets one path through, by a caller of whom all is remembered.
struct Presumed {
  std::vector<std::string> asked = {};
  Outcome outcome = {};
  testing::FakeKernel kernel = {};

  void Open(const std::string& path, const std::string& allowed, int flags = O_RDONLY) {
    std::array<uid_t, 3> uids{};
    std::array<gid_t, 3> gids{};
    ASSERT_EQ(getresuid(uids.data(), &uids[1], &uids[2]), 0);
    ASSERT_EQ(getresgid(gids.data(), &gids[1], &gids[2]), 0);
    kernel.thread_info = kernel::ThreadInfo{.tid = gettid(),
                                            .tgid = getpid(),
                                            .uids = {uids[0], uids[1], uids[2], uids[1]},
                                            .gids = {gids[0], gids[1], gids[2], gids[1]}};
    Put(kernel, 0x1000, path);
    kernel::Notification notification = OpenAt(0x1000);
    notification.call.args[2] = static_cast<std::uint64_t>(flags);
    outcome =
        Engine(kernel, {.is_told = true})
            .Handle({.listener = kListener, .notification = notification},
                    [&](const abi::Call&, const policy::LookFunction& look) {
                      if (!look) return PolicyAction{Verb::kLook, 0};
                      auto value = look({.kind = policy::DeepSubject::Kind::kPath, .slot = 1});
                      asked.push_back(std::get<std::string>(value));
                      return asked.back() == allowed ? kAllow : PolicyAction{Verb::kErrno, EACCES};
                    });
  }
};

TEST(EngineWhereAllIsRemembered, PlainFileIsOpenedByTheNameThatWasDecidedOn) {
  Folder folder;
  Presumed test;
  test.Open(folder / "file", folder / "file");
  EXPECT_EQ(test.asked, std::vector{folder / "file"});
  EXPECT_EQ(test.kernel.injected.size(), 1U);
}

TEST(EngineWhereAllIsRemembered, MissingFileIsSaidToBeMissing) {
  Folder folder;
  Presumed test;
  test.Open(folder / "none", folder / "none");
  EXPECT_EQ(test.asked, std::vector{folder / "none"});
  EXPECT_EQ(test.kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{1, ENOENT}}));
}

TEST(EngineWhereAllIsRemembered, NameOfALinkLetsNothingThroughThatItLeadsTo) {
  Folder folder;
  Presumed test;
  test.Open(folder / "link", folder / "link");
  EXPECT_EQ(test.asked, (std::vector{folder / "link", folder / "file"}));
  EXPECT_EQ(test.outcome.kind, Outcome::Kind::kRefused);
  EXPECT_TRUE(NothingWasDone(test.kernel));
}

TEST(EngineWhereAllIsRemembered, LinkLeadsToWhatIsLetThrough) {
  Folder folder;
  Presumed test;
  test.Open(folder / "link", folder / "file");
  EXPECT_EQ(test.asked, (std::vector{folder / "link", folder / "file"}));
  EXPECT_EQ(test.kernel.injected.size(), 1U);
}

TEST(EngineWhereAllIsRemembered, FifoIsOpenedOnce) {
  Folder folder;
  Presumed test;
  test.Open(folder / "fifo", folder / "fifo", O_RDONLY | O_NONBLOCK);
  EXPECT_EQ(test.asked, std::vector{folder / "fifo"});
  EXPECT_EQ(test.kernel.injected.size(), 1U);
}

TEST(EngineWhereAllIsRemembered, DeviceIsNotOpenedTwice) {
  Presumed test;
  test.Open("/dev/null", "/dev/null");
  EXPECT_EQ(test.asked, std::vector<std::string>{"/dev/null"});
  EXPECT_EQ(test.kernel.injected.size(), 1U);
}

// Nothing but an answer is to be made, and there is nobody who takes it.
TEST(Engine, AnswerToACallerThatIsGoneSaysSo) {
  testing::FakeKernel kernel;
  kernel.gone = {1};
  kernel.reply_errors = {ENOENT, ENOENT, ENOENT};
  EXPECT_EQ(Handle(kernel, OpenAt(0x1000), LookThen(kAllow)).kind, Outcome::Kind::kGone)
      << "a path that cannot be read";
  Put(kernel, 0x1000, "/dev/null");
  EXPECT_EQ(Handle(kernel, OpenAt(0x1000), LookThen({Verb::kReturn, 3})).kind,
            Outcome::Kind::kGone);
  kernel::Notification other = OpenAt(0x1000);
  other.call.nr = 319;  // memfd_create, which nobody performs
  other.call.args[0] = 0x1000;
  auto decide = [](const abi::Call&, const policy::LookFunction& look) {
    if (!look) return PolicyAction{Verb::kLook, 0};
    auto name = look({.kind = policy::DeepSubject::Kind::kString, .slot = 0});
    EXPECT_EQ(name, policy::DeepValue("/dev/null"));
    return PolicyAction{Verb::kReturn, 4};
  };
  EXPECT_EQ(Handle(kernel, other, decide).kind, Outcome::Kind::kGone);
  EXPECT_EQ(kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{1, EFAULT}}));
  EXPECT_EQ(kernel.values, (std::vector<std::pair<std::uint64_t, std::int64_t>>{{1, 3}, {1, 4}}));
  EXPECT_TRUE(kernel.injected.empty() && kernel.continued.empty());
}

// The file is there, so it must be said; that its maker died meanwhile changes nothing.
TEST(Engine, WhatIsDoneIsSaidToBeDone) {
  std::string pattern = (std::filesystem::temp_directory_path() / "engine.XXXXXX").string();
  const std::filesystem::path folder = mkdtemp(pattern.data());
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, (folder / "file").string());
  kernel::Notification notification = OpenAt(0x1000);
  notification.call.args[2] = O_CREAT | O_WRONLY;
  kernel.add_descriptor_error = ENOENT;
  EXPECT_EQ(Handle(kernel, notification, LookThen(kAllow)).kind, Outcome::Kind::kAnswered);
  EXPECT_TRUE(std::filesystem::exists(folder / "file"));
  std::filesystem::remove_all(folder);
}

TEST(Engine, CallerOfAnotherPidNamespaceIsRefused) {
  testing::FakeKernel kernel;
  Outcome outcome = Handle(kernel, OpenAt(0x1000, 0), LookThen(kAllow));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.reason, "the caller is in a pid namespace that the supervisor cannot see");
  EXPECT_TRUE(NothingWasDone(kernel));
}

TEST(Engine, CallerThatCannotBeReadIsRefused) {
  testing::FakeKernel kernel;
  Outcome outcome = Handle(kernel, OpenAt(0x1000, 0x7fffffff), LookThen(kAllow));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.reason, "the supervisor cannot read who the caller is");
}

// Here its pidfd is none that setns(2) takes; older kernels and missing rights give other errnos.
TEST(Engine, CallerWhoseNamespacesCannotBeEnteredIsRefused) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/dev/null");
  // As fork, in a user namespace of its own.
  auto child = static_cast<pid_t>(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
  if (child == 0) {
    pause();
    _exit(0);
  }
  ASSERT_GT(child, 0);
  Outcome outcome = Handle(kernel, OpenAt(0x1000, child), LookThen(kAllow));
  kill(child, SIGKILL);
  waitpid(child, nullptr, 0);
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.errno_value, EPERM);
  EXPECT_EQ(outcome.reason,
            "the supervisor has no process that stands where the caller does: cannot enter its "
            "namespaces (Invalid argument)");
  EXPECT_TRUE(NothingWasDone(kernel));
}

// The kernel leaves the call waiting when the caller's table is full.
TEST(Engine, FullDescriptorTableBecomesTheCallsErrno) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/dev/null");
  kernel.add_descriptor_error = EMFILE;
  Handle(kernel, OpenAt(0x1000), LookThen(kAllow));
  EXPECT_EQ(kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{1, EMFILE}}));
}

TEST(Engine, CallThatIsNotPerformedIsRefused) {
  testing::FakeKernel kernel;
  kernel::Notification notification = OpenAt(0x1000);
  notification.call.nr = 169;  // reboot
  Outcome outcome =
      Handle(kernel, notification, [](const abi::Call&, const policy::LookFunction& look) {
        return look ? kAllow : PolicyAction{Verb::kLook, 0};
      });
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.errno_value, EPERM);
  EXPECT_TRUE(NothingWasDone(kernel));
}

TEST(Engine, ReturnGivesItsValueAndDoesNothing) {
  testing::FakeKernel kernel;
  auto decide = [](const abi::Call&, const policy::LookFunction&) {
    return PolicyAction{Verb::kReturn, -3};
  };
  Handle(kernel, OpenAt(0x1000), decide);
  EXPECT_EQ(kernel.values, (std::vector<std::pair<std::uint64_t, std::int64_t>>{{1, -3}}));
}

TEST(Engine, OnlyContinueUncheckedContinues) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/dev/null");
  Handle(kernel, OpenAt(0x1000), LookThen({Verb::kContinueUnchecked, 0}));
  EXPECT_EQ(kernel.continued, (std::vector<std::uint64_t>{1}));
}

TEST(Engine, AllowWithoutALookWasNotForUs) {
  testing::FakeKernel kernel;
  auto decide = [](const abi::Call&, const policy::LookFunction&) { return kAllow; };
  Outcome outcome = Handle(kernel, OpenAt(0x1000), decide);
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_TRUE(NothingWasDone(kernel));
}

// Somebody outside who says `action`, and remembers what he was told.
struct Outsider {
  AnswerFromOutside answer;
  std::vector<Facts> told = {};
  std::vector<std::byte> copy = {};

  OutsideFunction Function() {
    return [this](const Turn&, const Question& question) {
      told.push_back(question.facts);
      copy = question.inputs.CopiedAt(0x1000, 64);
      return answer;
    };
  }
};

Outcome HandleLeft(testing::FakeKernel& kernel, const kernel::Notification& notification,
                   Outsider& outsider) {
  return Engine(kernel).Handle(
      {.listener = kListener, .notification = notification},
      [](const abi::Call&, const policy::LookFunction&) { return PolicyAction{Verb::kNotify, 0}; },
      outsider.Function());
}

TEST(Engine, CallLeftToSomebodyIsToldByItsCopyAndPerformed) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/dev/./null");
  Outsider outsider{{kAllow}};
  EXPECT_EQ(HandleLeft(kernel, OpenAt(0x1000), outsider).kind, Outcome::Kind::kAnswered);
  EXPECT_EQ(outsider.told, (std::vector<Facts>{{{"filename", std::string("/dev/null")}}}));
  EXPECT_EQ(outsider.copy.size(), 12U);
  EXPECT_EQ(kernel.injected.size(), 1U);
  EXPECT_TRUE(kernel.continued.empty());
}

TEST(Engine, CallLeftToNobodyIsRefused) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/dev/null");
  Outcome outcome = Handle(kernel, OpenAt(0x1000), LookThen({Verb::kNotify, 0}));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.errno_value, EPERM);
  EXPECT_EQ(outcome.reason, "there is nobody to ask");
  EXPECT_TRUE(NothingWasDone(kernel));
}

TEST(Engine, AnswerThatCannotBeCarriedOutRefuses) {
  for (Verb verb : {Verb::kLog, Verb::kTrap, Verb::kAsk, Verb::kNotify, Verb::kAsSupervisor,
                    Verb::kLook, Verb::kKillThread, Verb::kTrace}) {
    testing::FakeKernel kernel;
    Put(kernel, 0x1000, "/dev/null");
    Outsider outsider{{{verb, 0}}};
    Outcome outcome = HandleLeft(kernel, OpenAt(0x1000), outsider);
    EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
    EXPECT_EQ(outcome.reason, "the answer is none that can be carried out");
    EXPECT_TRUE(NothingWasDone(kernel));
  }
}

TEST(Engine, CallThatIsNotPerformedIsToldByRegistersAndGoesOn) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/swap");
  kernel::Notification swapon = OpenAt(0x1000);
  swapon.call.nr = 167;
  Outsider outsider{{kAllow}};
  EXPECT_EQ(HandleLeft(kernel, swapon, outsider).kind, Outcome::Kind::kAnswered);
  EXPECT_EQ(outsider.told, std::vector<Facts>{{}});
  EXPECT_TRUE(outsider.copy.empty());
  EXPECT_EQ(kernel.continued.size(), 1U);
}

TEST(Engine, CallerThatIsGoneIsNotToldAbout) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, "/dev/null");
  kernel.gone.insert(1);
  Outsider outsider{{kAllow}};
  EXPECT_EQ(HandleLeft(kernel, OpenAt(0x1000), outsider).kind, Outcome::Kind::kGone);
  EXPECT_TRUE(outsider.told.empty());
  EXPECT_TRUE(NothingWasDone(kernel));
}

}  // namespace
}  // namespace callgate::supervise
