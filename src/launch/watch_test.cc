#include "launch/watch.h"

#include <linux/audit.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>

#include "gtest/gtest.h"
#include "launch/child.h"
#include "launch/report.h"
#include "testing/fake_kernel.h"

namespace callgate::launch {
namespace {

using kernel::Resume;
using kernel::TraceEvent;
using testing::FakeKernel;
using Resumed = std::vector<std::pair<pid_t, std::pair<Resume, int>>>;

constexpr pid_t kProgram = FakeKernel::kProgram;
constexpr std::int32_t kMkdir = 83;

int Stop(int signal, TraceEvent event = TraceEvent::kNone) {
  return static_cast<int>(event) << 16 | signal << 8 | 0x7f;
}

kernel::Notification Mkdir(std::uint64_t id) {
  return {
      .id = id, .tid = 0, .call = {.nr = kMkdir, .arch = AUDIT_ARCH_X86_64, .ip = 0, .args = {}}};
}

std::string Contents(int fd) {
  std::string text(static_cast<std::size_t>(lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return text;
}

// A supervisor over the fake kernel, its program at the exec stop.
struct Scene {
  FakeKernel kernel;
  LaunchPlan plan;
  abi::Action verdict{abi::ActionKind::kErrno, EPERM};
  int socket = -1;
  std::string errors;
  std::string status;
  bool audits = false;
  std::string audit;

  Scene() {
    plan.argv = {"worker"};
    plan.stack = {.filters = {{{0x06, 0, 0, 0x7fc00000}}}, .listening = 0};
    plan.supervision = Supervision{};
    plan.supervision->explain = [this](const abi::Call&) {
      return Explanation{.verdict = verdict, .place = "app.cg:1", .rule = "default"};
    };
    kernel.events.push_back({kProgram, Stop(SIGTRAP, TraceEvent::kExec)});
  }

  void Run() {
    int errors_fd = memfd_create("errors", MFD_CLOEXEC);
    int status_fd = memfd_create("status", MFD_CLOEXEC);
    base::UniqueFd errors_kept(dup(errors_fd));
    base::UniqueFd status_kept(dup(status_fd));
    base::UniqueFd audit_kept(memfd_create("audit", MFD_CLOEXEC));
    if (audits) plan.supervision->audit_fd = audit_kept.get();
    Reporter reporter(ReportFormat::kText, Output(base::UniqueFd(errors_fd)),
                      Output(base::UniqueFd(status_fd)),
                      Output(base::UniqueFd(dup(audit_kept.get()))));
    Watch(kernel, plan, {.program = kProgram, .socket = socket, .signals = -1}, reporter);
    errors = Contents(errors_kept.get());
    status = Contents(status_kept.get());
    audit = Contents(audit_kept.get());
  }
};

constexpr std::string_view kMkdirReport =
    "callgate: denied  mkdir(pathname=NULL, mode=0)  → EPERM   pid ?\n"
    "  rule      app.cg:1  default\n";

TEST(Watch, ADeniedCallIsReportedAndGetsItsErrno) {
  Scene scene;
  scene.kernel.notifications.emplace_back(Mkdir(7));
  scene.Run();
  EXPECT_EQ(scene.kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{7, EPERM}}));
  EXPECT_EQ(scene.errors, kMkdirReport);
}

TEST(Watch, ReceiveThatFindsNobodyOrASignalIsTriedAgain) {
  Scene scene;
  scene.kernel.notifications.emplace_back(std::unexpected(ENOENT));
  scene.kernel.notifications.emplace_back(std::unexpected(EINTR));
  scene.kernel.notifications.emplace_back(Mkdir(8));
  scene.Run();
  EXPECT_EQ(scene.kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{8, EPERM}}));
  EXPECT_EQ(scene.errors, kMkdirReport);
}

TEST(Watch, ATargetThatDiedBeforeTheReplyIsNotAnError) {
  Scene scene;
  scene.kernel.notifications.emplace_back(Mkdir(1));
  scene.kernel.notifications.emplace_back(Mkdir(2));
  scene.kernel.notifications.emplace_back(Mkdir(3));
  scene.kernel.reply_errors = {ENOENT, EINPROGRESS, 0};
  scene.Run();
  EXPECT_EQ(scene.kernel.replies,
            (std::vector<std::pair<std::uint64_t, int>>{{1, EPERM}, {2, EPERM}, {3, EPERM}}));
  EXPECT_EQ(scene.errors, std::string(kMkdirReport) +
                              "callgate: denied  mkdir(pathname=NULL, mode=0)  → EPERM   2 more "
                              "times\n");
}

TEST(Watch, AThreadGoneWhileItWasLookedAtIsNotReported) {
  Scene scene;
  scene.kernel.notifications.emplace_back(Mkdir(1));
  scene.kernel.gone = {1};
  scene.Run();
  EXPECT_EQ(scene.errors, "");
}

// Its thread id may have been another's, so that what was copied is none of this log's business.
TEST(Watch, OfACallerThatIsGoneNothingIsLoggedThatWasCopied) {
  for (bool is_gone : {false, true}) {
    Scene scene;
    scene.audits = true;
    scene.plan.supervision->answer = [&](const supervise::Turn&) {
      Answered answered;
      answered.decision = Decision{.inputs = {{"pathname", "/a/path"}}, .is_gone = is_gone};
      return answered;
    };
    scene.kernel.notifications.emplace_back(Mkdir(1));
    scene.Run();
    const std::string_view outcome = is_gone ? R"("outcome":"gone")" : R"("outcome":"done")";
    EXPECT_NE(scene.audit.find(outcome), std::string::npos) << scene.audit;
    EXPECT_EQ(scene.audit.find("/a/path") == std::string::npos, is_gone) << scene.audit;
  }
}

TEST(Watch, AnUnknownErrorOfTheListenerEndsTheProgram) {
  Scene scene;
  scene.kernel.notifications.emplace_back(std::unexpected(EBADF));
  scene.Run();
  EXPECT_EQ(scene.errors,
            "callgate: cannot receive a notification: Bad file descriptor; the program is ended\n");
  // Leaving is what ends it.
  EXPECT_NE(scene.kernel.trace_options & kernel::kExitKill, 0u);

  Scene other;
  other.kernel.notifications.emplace_back(Mkdir(1));
  other.kernel.reply_errors = {EINVAL};
  other.Run();
  EXPECT_TRUE(other.errors.ends_with(
      "callgate: cannot answer a notification: Invalid argument; the program is ended\n"))
      << other.errors;
}

TEST(Watch, ACallThatThePolicyAllowsIsRefusedAndTheDisagreementReported) {
  Scene scene;
  scene.verdict = abi::kAllow;
  scene.kernel.notifications.emplace_back(Mkdir(9));
  scene.Run();
  EXPECT_EQ(scene.kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{9, EPERM}}));
  EXPECT_NE(scene.errors.find("(the filter asked about it, the policy says allow: refused to be "
                              "safe)"),
            std::string::npos)
      << scene.errors;
}

TEST(Watch, ErrnosBeyondTheKernelsLimitAreClampedAsTheKernelDoes) {
  Scene scene;
  scene.verdict = {abi::ActionKind::kErrno, 60000};
  scene.kernel.notifications.emplace_back(Mkdir(9));
  scene.Run();
  EXPECT_EQ(scene.kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{9, 4095}}));
}

TEST(Watch, StopsAreAnsweredByWhatTheyAre) {
  Scene scene;
  auto& events = scene.kernel.events;
  events.push_back({kProgram, Stop(SIGUSR1)});
  events.push_back({kProgram, Stop(SIGTSTP)});                     // about to be delivered
  events.push_back({kProgram, Stop(SIGTSTP, TraceEvent::kStop)});  // group stop
  events.push_back({kProgram, Stop(SIGTRAP, TraceEvent::kStop)});  // continued
  events.push_back({kProgram, Stop(SIGTRAP, TraceEvent::kFork)});
  events.push_back({200, Stop(SIGTRAP, TraceEvent::kStop)});  // the new child
  events.push_back({200, Stop(SIGTRAP)});                     // a breakpoint of its own
  events.push_back({200, Stop(SIGTRAP, TraceEvent::kExec)});
  scene.Run();
  EXPECT_EQ(scene.kernel.resumed, (Resumed{{kProgram, {Resume::kContinue, 0}},
                                           {kProgram, {Resume::kContinue, SIGUSR1}},
                                           {kProgram, {Resume::kContinue, SIGTSTP}},
                                           {kProgram, {Resume::kListen, 0}},
                                           {kProgram, {Resume::kContinue, 0}},
                                           {kProgram, {Resume::kContinue, 0}},
                                           {200, {Resume::kContinue, 0}},
                                           {200, {Resume::kContinue, SIGTRAP}},
                                           {200, {Resume::kContinue, 0}}}));
}

// What the registers of an exiting thread must show for its death to be the filter's.
TEST(Watch, OnlyDeathsByTheFilterAreExplained) {
  struct Case {
    const char* what;
    std::uint64_t exit_code;
    std::uint64_t rax;
    abi::Action verdict;
    bool reported;
  };
  const std::array kCases = {
      Case{"killed by the filter", SIGSYS | 0x80, kMkdir, abi::kKillProcess, true},
      Case{"only this thread",
           SIGSYS,
           static_cast<std::uint64_t>(-ENOSYS),
           {abi::ActionKind::kKillThread, 0},
           true},
      Case{"died with the others, asleep in a call", SIGSYS, static_cast<std::uint64_t>(-512),
           abi::kKillProcess, false},
      Case{"sent SIGSYS by kill(1)", SIGSYS, kMkdir, abi::kAllow, false},
      Case{"killed by SIGKILL", SIGKILL, kMkdir, abi::kKillProcess, false},
      Case{"exited", 0x1f00, kMkdir, abi::kKillProcess, false}};
  for (const Case& test : kCases) {
    Scene scene;
    scene.plan.stack.listening = std::nullopt;
    scene.verdict = test.verdict;
    scene.kernel.event_message = test.exit_code;
    scene.kernel.registers.orig_rax = kMkdir;
    scene.kernel.registers.rax = test.rax;
    scene.kernel.events.push_back({kProgram, Stop(SIGTRAP, TraceEvent::kExit)});
    scene.Run();
    EXPECT_EQ(scene.errors.find("callgate: denied  mkdir(") != std::string::npos, test.reported)
        << test.what << ": " << scene.errors;
  }
}

TEST(Watch, ATrapIsExplainedAndItsSignalDelivered) {
  Scene scene;
  scene.plan.stack.listening = std::nullopt;
  scene.verdict = {abi::ActionKind::kTrap, 3};
  scene.kernel.signal_info.si_code = 1;  // SYS_SECCOMP
  scene.kernel.registers.orig_rax = scene.kernel.registers.rax = kMkdir;
  scene.kernel.events.push_back({kProgram, Stop(SIGSYS)});
  scene.Run();
  EXPECT_TRUE(scene.errors.starts_with("callgate: denied  mkdir(")) << scene.errors;
  EXPECT_NE(scene.errors.find("→ SIGSYS (trap(3))"), std::string::npos);
  EXPECT_EQ(scene.kernel.resumed.back(),
            (std::pair<pid_t, std::pair<Resume, int>>{kProgram, {Resume::kContinue, SIGSYS}}));
}

TEST(Watch, TheStatusDescriptorTellsStartAndEnd) {
  Scene scene;
  scene.kernel.events.push_back({kProgram, 3 << 8});  // exit status 3
  scene.Run();
  EXPECT_EQ(scene.status,
            "{\"event\":\"started\",\"pid\":100,\"command\":[\"worker\"]}\n"
            "{\"event\":\"exited\",\"status\":3}\n");
}

TEST(Watch, ADeathIsToldAsTheShellNumbersIt) {
  Scene scene;
  scene.kernel.events.push_back({kProgram, SIGSYS});
  scene.Run();
  EXPECT_TRUE(
      scene.status.ends_with("{\"event\":\"exited\",\"status\":159,\"signal\":\"SIGSYS\"}\n"))
      << scene.status;
}

TEST(Watch, AFailedAttachmentIsReportedAndTheProgramKilledIfItMustBe) {
  Scene scene;
  scene.kernel.poke_error = EIO;
  scene.Run();
  EXPECT_EQ(scene.errors, "callgate: cannot write the program's memory: Input/output error\n");
  EXPECT_EQ(scene.kernel.signals_sent, (std::vector<std::pair<pid_t, int>>{{kProgram, SIGKILL}}));
}

TEST(Watch, WithoutSupervisionTheProgramIsLetGo) {
  Scene scene;
  scene.plan.supervision.reset();
  scene.plan.stack.listening.reset();
  scene.Run();
  EXPECT_EQ(scene.kernel.resumed, (Resumed{{kProgram, {Resume::kDetach, 0}}}));
  EXPECT_EQ(scene.kernel.trace_options, 0u);
  EXPECT_EQ(scene.errors, "");
}

TEST(Watch, ChildrenAreTracedOnlyWhereDeathsAreExplained) {
  for (bool explain_deaths : {false, true}) {
    Scene scene;
    scene.plan.supervision->explain_deaths = explain_deaths;
    scene.Run();
    std::uint32_t expected = kernel::kExitKill | kernel::kTraceExit | kernel::kTraceClone;
    if (explain_deaths) expected |= kernel::kTraceFork | kernel::kTraceVfork;
    EXPECT_EQ(scene.kernel.trace_options, expected);
  }
}

}  // namespace
}  // namespace callgate::launch
