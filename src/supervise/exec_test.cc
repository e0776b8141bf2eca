#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "supervise/engine.h"
#include "supervise/image.h"
#include "supervise/inputs.h"
#include "testing/fake_kernel.h"

namespace callgate::supervise {
namespace {

using policy::DeepSubject;
using policy::DeepValue;
using policy::PolicyAction;
using policy::Verb;

constexpr int kListener = 77;
constexpr std::int32_t kExecve = 59;
constexpr PolicyAction kAllow{Verb::kAllow, 0};
constexpr PolicyAction kDeny{Verb::kErrno, EACCES};
const DeepSubject kFilename{.kind = DeepSubject::Kind::kPath, .slot = 0};
const DeepSubject kFirst{.kind = DeepSubject::Kind::kElement, .slot = 1, .offset = 1};
const DeepSubject kCount{.kind = DeepSubject::Kind::kCount, .slot = 1};
const DeepSubject kPreload{.kind = DeepSubject::Kind::kVariable, .slot = 2, .key = "LD_PRELOAD"};

TEST(ParseInterpreter, TakesTheFirstLineAsTheKernelDoes) {
  struct Case {
    std::string head;
    const char* path;  // nullptr: no script
    const char* argument;
  };
  const std::string spaces(300, ' '), letters(300, 'x');
  for (const Case& one : std::vector<Case>{
           {"#!/bin/sh\nexit 0\n", "/bin/sh", nullptr},
           {"#!/bin/sh", "/bin/sh", nullptr},
           {"#! \t/bin/sh  -e -u \t\n", "/bin/sh", "-e -u"},
           {"#!/bin/sh \n", "/bin/sh", nullptr},
           {std::string("#!/bin/sh\0 -x\n", 14), "/bin/sh", nullptr},
           {"#!\n/bin/sh\n", nullptr, nullptr},
           {"#!   \n", nullptr, nullptr},
           {" #!/bin/sh\n", nullptr, nullptr},
           {"", nullptr, nullptr},
           {("#!" + spaces).substr(0, 256), nullptr, nullptr},
           {("#!/" + letters).substr(0, 256), nullptr, nullptr},  // cut off
           {("#!/bin/sh " + letters).substr(0, 256), "/bin/sh", letters.c_str() + 54}}) {
    auto interpreter = ParseInterpreter(one.head);
    ASSERT_EQ(interpreter.has_value(), one.path != nullptr) << one.head;
    if (!interpreter) continue;
    EXPECT_EQ(interpreter->path, one.path);
    EXPECT_EQ(interpreter->argument.value_or("(none)"),
              one.argument != nullptr ? one.argument : "(none)");
  }
}

DeepValue Found(const DeepSubject& subject, const std::vector<std::string>& strings) {
  return LookAtStrings(subject, strings).value();
}

TEST(LookAtStrings, BeyondTheLastArgumentIsNothing) {
  std::vector<std::string> argv{"a", "b"};
  EXPECT_EQ(Found(kFirst, argv), DeepValue(std::string("b")));
  EXPECT_EQ(Found(kFirst, {"a"}), DeepValue(policy::Absent{}));
  EXPECT_EQ(Found(kCount, argv), DeepValue(std::uint64_t{2}));
}

TEST(LookAtStrings, NoArgumentsAreOneEmptyOne) {
  DeepSubject zeroth = kFirst;
  zeroth.offset = 0;
  EXPECT_EQ(Found(kCount, {}), DeepValue(std::uint64_t{1}));
  EXPECT_EQ(Found(zeroth, {}), DeepValue(std::string()));
}

TEST(LookAtStrings, VariableHasAWholeNameAndOneValue) {
  EXPECT_EQ(Found(kPreload, {"LD_PRELOADED=x", "LD_PRELOAD=a=b"}), DeepValue(std::string("a=b")));
  EXPECT_EQ(Found(kPreload, {"LD_PRELOAD", "A=LD_PRELOAD=x"}), DeepValue(policy::Absent{}));
  // Who reads the environment takes the first one or the last one.
  auto twice = LookAtStrings(kPreload, {"LD_PRELOAD=", "LD_PRELOAD=x"});
  ASSERT_FALSE(twice.has_value());
  EXPECT_EQ(twice.error(), EINVAL);
}

// A process that waits, traced by this one. What it runs is this very program.
class Caller {
 public:
  Caller() {
    pid_ = fork();
    if (pid_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (true) pause();
    }
    traced_ = kernel::RealKernel().Seize(pid_, 0).has_value();
  }
  ~Caller() {
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }
  pid_t pid() const { return pid_; }
  bool traced() const { return traced_; }

 private:
  pid_t pid_ = 0;
  bool traced_ = false;
};

class Exec : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_TRUE(caller.traced()); }

  void Put(std::uint64_t address, std::string_view text) {
    for (std::size_t i = 0; i <= text.size(); ++i) {
      kernel.memory[address + i] = i < text.size() ? static_cast<std::byte>(text[i]) : std::byte{};
    }
  }
  void PutPointers(std::uint64_t address, const std::vector<std::uint64_t>& pointers) {
    const auto* bytes = reinterpret_cast<const std::byte*>(pointers.data());
    for (std::size_t i = 0; i < pointers.size() * 8; ++i) kernel.memory[address + i] = bytes[i];
  }
  kernel::Notification Execve(pid_t tid) {
    return {
        .id = 1,
        .tid = tid,
        .call = {
            .nr = kExecve, .arch = 0xc000003e, .ip = 0, .args = {0x1000, 0x2000, 0x3000, 0, 0, 0}}};
  }
  Outcome Handle(const DecideFunction& decide) { return Handle(Execve(caller.pid()), decide); }
  Outcome Handle(const kernel::Notification& notification, const DecideFunction& decide) {
    return engine.Handle({.listener = kListener, .notification = notification}, decide);
  }
  Outcome Loaded(const DecideFunction& decide) {
    return engine.HandleExec(caller.pid(), caller.pid(), decide);
  }

  Caller caller;
  testing::FakeKernel kernel;
  Engine engine{kernel};
};

DecideFunction AllowOnly(const DeepSubject& subject, const std::string& text) {
  return [=](const abi::Call&, const policy::LookFunction& look) {
    if (!look) return PolicyAction{Verb::kLook, 0};
    return look(subject) == DeepValue(text) ? kAllow : kDeny;
  };
}
std::string OwnProgram() { return std::filesystem::read_symlink("/proc/self/exe").string(); }

TEST_F(Exec, AllowedOneGoesOn) {
  Put(0x1000, "/proc/self/exe");
  EXPECT_EQ(Handle(AllowOnly(kFilename, OwnProgram())).kind, Outcome::Kind::kAnswered);
  EXPECT_EQ(kernel.continued, (std::vector<std::uint64_t>{1}));
  EXPECT_EQ(Loaded(AllowOnly(kFilename, OwnProgram())).kind, Outcome::Kind::kAnswered);
}

TEST_F(Exec, DeniedOneDoesNotGoOn) {
  Put(0x1000, "/usr/bin/env");
  Outcome outcome = Handle(AllowOnly(kFilename, OwnProgram()));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.errno_value, EACCES);
  EXPECT_TRUE(kernel.continued.empty());
}

TEST_F(Exec, DeniedOneOfNothingIsNotReported) {
  Put(0x1000, "/none/such");
  EXPECT_EQ(Handle(AllowOnly(kFilename, "/usr/bin/env")).kind, Outcome::Kind::kAnswered);
  EXPECT_EQ(kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{1, EACCES}}));
  EXPECT_TRUE(kernel.continued.empty());
}

// The path led to a permitted file when it was looked at, and to another one when the kernel
// followed it.
TEST_F(Exec, AnotherFileThanAllowedIsKilledBeforeItRuns) {
  Put(0x1000, "/usr/bin/env");
  auto decide = AllowOnly(kFilename, "/usr/bin/env");
  Handle(decide);
  ASSERT_EQ(kernel.continued.size(), 1U);
  Outcome outcome = Loaded(decide);
  EXPECT_EQ(outcome.kind, Outcome::Kind::kKilled);
  EXPECT_EQ(outcome.reason,
            "what was loaded is " + OwnProgram() + ": killed before its first instruction");
  EXPECT_NE(outcome.call.args[0], 0U);
}

TEST_F(Exec, ArgumentsAreThoseTheImageWasGiven) {
  Put(0x1000, "/usr/bin/env");
  Put(0x4000, "env");
  Put(0x4100, "-x");
  PutPointers(0x2000, {0x4000, 0x4100, 0});
  auto decide = AllowOnly(kFirst, "-x");
  Handle(decide);
  ASSERT_EQ(kernel.continued.size(), 1U);
  EXPECT_EQ(Loaded(decide).kind, Outcome::Kind::kKilled);  // this program was given no -x
}

TEST_F(Exec, ACallThatFailedIsNotTakenForALaterOne) {
  Put(0x1000, "/usr/bin/env");
  auto decide = AllowOnly(kFilename, "/usr/bin/env");
  Handle(decide);
  // The next one is decided by its registers, and the filter asks about it all the same.
  Handle([](const abi::Call&, const policy::LookFunction&) { return kAllow; });
  EXPECT_EQ(kernel.continued.size(), 2U);
  EXPECT_EQ(Loaded(decide).kind, Outcome::Kind::kAnswered);
}

TEST_F(Exec, NothingIsJudgedThatWasNotLookedAt) {
  EXPECT_EQ(Loaded(AllowOnly(kFilename, "/none")).kind, Outcome::Kind::kAnswered);
}

TEST_F(Exec, CallThatSomebodyElseAnsweredIsNotRemembered) {
  Put(0x1000, "/usr/bin/env");
  kernel.gone = {1};  // the deadline refused it
  auto decide = AllowOnly(kFilename, "/usr/bin/env");
  Handle(decide);
  EXPECT_TRUE(kernel.continued.empty());
  EXPECT_EQ(Loaded(decide).kind, Outcome::Kind::kAnswered);
}

TEST_F(Exec, UntracedCallerIsRefused) {
  Put(0x1000, "/proc/self/exe");
  Outcome outcome = Handle(Execve(gettid()), AllowOnly(kFilename, OwnProgram()));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.reason,
            "the caller is not traced (CLONE_UNTRACED?), so what comes of it could not be judged");
  EXPECT_TRUE(kernel.continued.empty());
}

class Script : public Exec {
 protected:
  Script() {
    std::string pattern = (std::filesystem::temp_directory_path() / "script.XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    path = std::filesystem::canonical(directory_) / "s";
    std::ofstream(path) << "#!/usr/bin/env -i sh\n";
    chmod(path.c_str(), 0755);
    Put(0x1000, path);
    Put(0x4000, "zeroth");
    Put(0x4100, "given");
    PutPointers(0x2000, {0x4000, 0x4100, 0});
  }
  ~Script() override { std::filesystem::remove_all(directory_); }

  std::string path;

 private:
  std::string directory_;
};

TEST_F(Script, IsRefusedIfItsInterpreterIs) {
  Outcome outcome = Handle(AllowOnly(kFilename, path));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.reason, "it is a script, and /usr/bin/env is to run it");
  EXPECT_TRUE(kernel.continued.empty());
}

TEST_F(Script, IsAskedAboutAsTheInterpreterWithTheScript) {
  std::vector<std::vector<std::string>> seen;
  auto decide = [&](const abi::Call&, const policy::LookFunction& look) {
    if (!look) return PolicyAction{Verb::kLook, 0};
    std::vector<std::string> argv{std::get<std::string>(look(kFilename))};
    DeepSubject element = kFirst;
    for (element.offset = 0;; ++element.offset) {
      DeepValue value = look(element);
      if (!std::holds_alternative<std::string>(value)) break;
      argv.push_back(std::get<std::string>(value));
    }
    seen.push_back(argv);
    return kAllow;
  };
  Handle(decide);
  EXPECT_EQ(kernel.continued.size(), 1U);
  EXPECT_EQ(seen, (std::vector<std::vector<std::string>>{
                      {path, "zeroth", "given"},
                      {"/usr/bin/env", "/usr/bin/env", "-i sh", path, "given"}}));
}

}  // namespace
}  // namespace callgate::supervise
