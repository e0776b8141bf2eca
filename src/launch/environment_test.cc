// Where callgate is started matters: inside other filters, under tracers, without rights, with
// limits.

#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <regex>
#include <string>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "launch/harness_for_tests.h"

namespace callgate::launch {
namespace {

TEST(Run, NothingStaysBehindWithoutSupervisor) {
  Ran ran = RunCommand(Driver({"--plain", "mkdir=ENOTTY"}, {kVictim, "alone"}));
  EXPECT_EQ(ran.out, "tracer 0, children 0, errno 25\n") << ran.err;
  EXPECT_EQ(ran.err, "");
}

TEST(Run, AListenerAroundUsIsExplainedAndNothingRuns) {
  // The inner launch is a child, so that it is not traced already.
  Ran ran =
      RunCommand(Driver({"mkdir=EPERM"}, Shell(kDriver + " rmdir=EPERM -- echo ran; echo $?")));
  EXPECT_EQ(ran.out, "125\n");
  EXPECT_EQ(ran.err,
            "callgate: cannot install the filter (20 instructions): Device or resource busy "
            "(something around callgate already listens to this program's calls); use "
            "--no-supervisor: the kernel enforces alone then\n");
}

TEST(Run, InsideAnotherFilterTheKernelEnforcesBoth) {
  Ran ran = RunCommand(Driver({"--plain", "mkdir=ENOTTY"},
                              Driver({"rmdir=ENOSPC"}, Shell("mkdir /x; rmdir /y; exit 3"))));
  EXPECT_EQ(ran.exit_code(), 3);
  EXPECT_NE(ran.err.find("mkdir: cannot create directory '/x': Inappropriate ioctl for device\n"),
            std::string::npos)
      << ran.err;
  EXPECT_NE(ran.err.find("callgate: denied  rmdir(pathname=\"/y\")  → ENOSPC"), std::string::npos)
      << ran.err;
}

TEST(Run, InsideAFilterThatRefusesWhatWeNeedItSaysWhat) {
  struct Case {
    const char* rule;
    const char* message;
  };
  for (const Case& test :
       {Case{"seccomp=EPERM",
             "callgate: cannot use seccomp filters: Operation not permitted (a filter around "
             "callgate refuses it); allow seccomp() in the sandbox or container that callgate runs "
             "in\n"},
        Case{"ptrace=EPERM",
             "callgate: cannot trace the program to put the filter on: Operation not permitted (a "
             "sandbox around callgate refuses ptrace); allow ptrace() there\n"},
        Case{"pidfd_getfd=ENOSYS",
             "callgate: cannot report denied calls: Function not implemented (pidfd_getfd does not "
             "work here: it needs Linux 5.6, and a sandbox that allows it); use --no-supervisor: "
             "the kernel enforces alone then\n"}}) {
    Ran ran =
        RunCommand(Driver({"--plain", test.rule}, Driver({"mkdir=EPERM"}, {"/bin/echo", "ran"})));
    EXPECT_EQ(ran.exit_code(), 125) << test.rule;
    EXPECT_EQ(ran.err, test.message);
    EXPECT_EQ(ran.out, "");
  }
}

TEST(Run, UnderAnotherTracerItSaysWho) {
  Ran ran = RunCommand(Driver({"syslog=kill"}, Driver({"mkdir=EPERM"}, {"/bin/echo", "ran"})));
  EXPECT_EQ(ran.exit_code(), 125);
  EXPECT_EQ(std::regex_replace(ran.err, std::regex("process [0-9]+"), "process N"),
            "callgate: cannot trace the program to put the filter on: Operation not permitted "
            "(process N traces it already: strace, a debugger, or the supervisor of a 'callgate "
            "run' around this one); start it without; use --no-supervisor for the outer 'callgate "
            "run'\n");
}

TEST(Run, LayersAllApplyAndOneThatRefusesTheNextIsExplained) {
  Ran ran = RunCommand(
      Driver({"--layer", "rmdir=ENOSPC", "mkdir=ENOTTY"}, Shell("mkdir /x; rmdir /y; exit 3")));
  EXPECT_EQ(ran.exit_code(), 3);
  EXPECT_NE(ran.err.find("Inappropriate ioctl for device"), std::string::npos) << ran.err;
  EXPECT_NE(ran.err.find("No space left on device"), std::string::npos) << ran.err;
  ran = RunCommand(Driver({"--layer", "seccomp=EPERM", "mkdir=EPERM"}, {"/bin/echo", "ran"}));
  EXPECT_EQ(ran.exit_code(), 125);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(
      ran.err,
      "callgate: cannot install the filter (20 instructions): Operation not permitted (an "
      "older layer refuses seccomp(), so that no further one can be added); combine the layers "
      "into one policy\n");
}

TEST(Run, AnUnreadableProgramIsRefusedToUnprivilegedUsers) {
  std::string path = fmt::format("/tmp/callgate-unreadable-{}", getpid());
  std::filesystem::copy_file("/bin/true", path);
  chmod(path.c_str(), 0711);
  Ran ran = RunCommand(Driver({"mkdir=EPERM"}, {path}), BecomeNobody);
  std::filesystem::remove(path);
  EXPECT_EQ(ran.signal(), SIGKILL);
  EXPECT_EQ(ran.err,
            "callgate: cannot reach into the program's memory: Input/output error (its file may be "
            "executed but not read); make the file readable, or run callgate as root\n");
}

TEST(Run, TheStatusDescriptorTellsTheWholeStory) {
  base::UniqueFd status = TemporaryFile();
  Ran ran = RunCommand(Driver({"--status-fd", "9", "mkdir=EPERM"}, {kVictim, "repeat", "3", "5"}),
                       [&] { dup2(status.get(), 9); });
  EXPECT_EQ(ran.exit_code(), 5);
  std::string text = Contents(status.get());
  EXPECT_EQ(std::ranges::count(text, '\n'), 4) << text;
  EXPECT_TRUE(text.starts_with("{\"event\":\"started\",\"pid\":")) << text;
  EXPECT_NE(text.find("{\"event\":\"denied\",\"syscall\":\"mkdir\","), std::string::npos) << text;
  EXPECT_TRUE(text.ends_with("\"count\":2}\n{\"event\":\"exited\",\"status\":5}\n")) << text;
}

TEST(Run, AClosedStatusDescriptorIsRefusedBeforeTheStart) {
  Ran ran = RunCommand(Driver({"--status-fd", "9", "mkdir=EPERM"}, {"/bin/echo", "ran"}),
                       [] { close(9); });
  EXPECT_EQ(ran.exit_code(), 125);
  EXPECT_EQ(ran.out, "");
  EXPECT_EQ(ran.err,
            "callgate: cannot write to status descriptor 9: Bad file descriptor; open it in the "
            "shell: callgate run --status-fd 3 … 3>status.json\n");
}

}  // namespace
}  // namespace callgate::launch
