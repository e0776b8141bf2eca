// What a user sees of a program that runs under a filter, as root and as an unprivileged user,
// under policies that refuse and policies that kill.

#include <algorithm>
#include <chrono>
#include <string>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "launch/harness_for_tests.h"

namespace callgate::launch {
namespace {

class Report : public RunAs {};
INSTANTIATE_TEST_SUITE_P(Launch, Report, kSettings, SettingName);

TEST_P(Report, ExitStatusAndStreamsPassThrough) {
  Ran ran = Launch({}, Shell("cat; echo out; echo err >&2; exit 7"), [] {
    int fds[2];
    if (pipe(fds) != 0 || write(fds[1], "in\n", 3) != 3) _exit(97);
    close(fds[1]);
    dup2(fds[0], 0);
  });
  EXPECT_EQ(ran.exit_code(), 7);
  EXPECT_EQ(ran.out, "in\nout\n");
  EXPECT_EQ(ran.err, "err\n");
}

TEST_P(Report, DeathBySignalPassesThrough) {
  EXPECT_EQ(Launch({}, Shell("kill -TERM $$")).signal(), SIGTERM);
  EXPECT_EQ(Launch({}, Shell("kill -KILL $$")).signal(), SIGKILL);
}

TEST_P(Report, AnErrnoIsReportedBeforeTheProgramSpeaks) {
  Ran ran = Launch({"mkdir=ENOTTY"}, {"/bin/mkdir", "/nowhere"});
  EXPECT_EQ(ran.exit_code(), 1);
  EXPECT_EQ(WithoutPids(ran.err),
            "callgate: denied  mkdir(pathname=\"/nowhere\", mode=0777)  → ENOTTY   pid N (mkdir)\n"
            "  rule      test.cg:2  rule                          (no rule mentions mkdir)\n"
            "  add       mkdir\n"
            "/bin/mkdir: cannot create directory '/nowhere': Inappropriate ioctl for device\n");
}

TEST_P(Report, ADeathByTheFilterIsRealAndReported) {
  Ran ran = Launch({"mkdir=kill"}, {"/bin/mkdir", "/nowhere"});
  EXPECT_EQ(ran.signal(), SIGSYS);
  EXPECT_EQ(WithoutPids(ran.err),
            "callgate: denied  mkdir(pathname=\"/nowhere\", mode=0777)  → SIGSYS (kill)   pid N "
            "(mkdir)\n"
            "  rule      test.cg:2  rule                          (no rule mentions mkdir)\n"
            "  add       mkdir\n");
}

TEST_P(Report, ATrapIsReportedAndReachesTheHandler) {
  Ran ran = Launch({"mkdir=trap"}, {kVictim, "trap"});
  EXPECT_EQ(ran.exit_code(), 0) << ran.err;
  EXPECT_EQ(ran.out, "SIGSYS code 1 errno 3 syscall 83\n");
  EXPECT_NE(ran.err.find("→ SIGSYS (trap(3))"), std::string::npos) << ran.err;
}

TEST_P(Report, OneThreadDiesAndTheOthersGoOn) {
  Ran ran = Launch({"mkdir=kill_thread"}, {kVictim, "thread"});
  EXPECT_EQ(ran.exit_code(), 5);
  EXPECT_NE(ran.err.find("→ SIGSYS (kill_thread)"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("(launch_victim) thread "), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("(doomed)"), std::string::npos) << ran.err;
}

TEST_P(Report, AProcessWithManyThreadsDiesOfOneAndIsReportedOnce) {
  Ran ran = Launch({"mkdir=kill"}, {kVictim, "many_threads"});
  EXPECT_EQ(ran.signal(), SIGSYS);
  EXPECT_EQ(std::ranges::count(ran.err, '\n'), 3) << ran.err;
  EXPECT_NE(ran.err.find("mkdir(pathname=\"/doomed\""), std::string::npos) << ran.err;
}

TEST_P(Report, ChildrenAreUnderTheFilterAndReportedAsThemselves) {
  Ran ran = Launch({"rmdir=EPERM"}, Shell("(rmdir /nowhere; true); echo $?"));
  EXPECT_EQ(ran.out, "0\n");
  EXPECT_NE(ran.err.find("(rmdir)"), std::string::npos) << ran.err;
}

TEST_P(Report, RepeatsAreFoldedAndCountedBeforeTheEnd) {
  Ran ran = Launch({"mkdir=EPERM"}, {kVictim, "repeat", "214"});
  EXPECT_EQ(ran.exit_code(), 0);
  EXPECT_EQ(std::ranges::count(ran.err, '\n'), 4) << ran.err;
  EXPECT_TRUE(ran.err.ends_with(
      "callgate: denied  mkdir(pathname=\"/repeated\", mode=0)  → EPERM   213 more times\n"))
      << ran.err;
}

TEST_P(Report, ThePolicyMayDenyAllThatALauncherNeeds) {
  Ran ran = Launch({"execve=kill", "seccomp=kill", "close=EPERM", "exit=kill", "clone=kill",
                    "prctl=kill", "ptrace=kill", "socketpair=kill"},
                   {kVictim, "exit", "3"});
  EXPECT_EQ(ran.exit_code(), 3) << ran.err;
  EXPECT_EQ(ran.err, "");
}

TEST_P(Report, TheVeryFirstCallCanBeDeniedAndIsExplained) {
  Ran ran = Launch({"default=kill"}, {"/bin/true"});
  EXPECT_EQ(ran.signal(), SIGSYS);
  EXPECT_EQ(WithoutPids(ran.err),
            "callgate: denied  brk(brk=NULL)  → SIGSYS (kill)   pid N (true)\n"
            "  rule      test.cg:1  default                       (no rule mentions brk)\n"
            "  add       brk\n");
}

}  // namespace
}  // namespace callgate::launch
