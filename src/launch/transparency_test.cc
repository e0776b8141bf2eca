// The program must not notice that it was launched: descriptors, signals, identity, streams, stops,
// the terminal are what they would be without callgate; and it must not get at its supervisor.

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "launch/harness_for_tests.h"

namespace callgate::launch {
namespace {

class Transparent : public RunAs {};
INSTANTIATE_TEST_SUITE_P(Launch, Transparent, kSettings, SettingName);

TEST_P(Transparent, DescriptorsAreAsWithoutCallgate) {
  // One that is inherited, one that is not; 50 is the status descriptor, which is not passed on.
  auto prepare = [] {
    dup2(0, 30);
    fcntl(0, F_DUPFD_CLOEXEC, 40);
    dup2(0, 50);
  };
  Ran plain = RunCommand({kVictim, "descriptors"}, [&] {
    prepare();
    fcntl(50, F_SETFD, FD_CLOEXEC);
  });
  Ran reporting = Launch({"--status-fd", "50", "mkdir=EPERM"}, {kVictim, "descriptors"}, prepare);
  EXPECT_EQ(reporting.out, plain.out) << reporting.err;
  Ran alone = Launch({"--plain", "mkdir=EPERM"}, {kVictim, "descriptors"}, [&] {
    prepare();
    close(50);
  });
  EXPECT_EQ(alone.out, plain.out) << alone.err;
}

TEST_P(Transparent, SignalStateAndIdentityAreAsWithoutCallgate) {
  auto prepare = [] {
    signal(SIGUSR1, SIG_IGN);
    sigset_t mask;
    sigemptyset(&mask);
    sigaddset(&mask, SIGCHLD);
    sigaddset(&mask, SIGUSR2);
    sigprocmask(SIG_SETMASK, &mask, nullptr);
    raise(SIGUSR2);
    setpgid(0, 0);
  };
  auto user = [] {
    if (GetParam().as_nobody) BecomeNobody();
  };
  Ran plain = RunCommand({kVictim, "state"}, [&] {
    user();
    prepare();
  });
  Ran ran = Launch({"mkdir=EPERM"}, {kVictim, "state"}, prepare);
  EXPECT_EQ(ran.out, plain.out) << ran.err;
  EXPECT_NE(plain.out, "");
}

TEST_P(Transparent, A32BitProgramIsInjectedAndExplained) {
  std::string program = CALLGATE_BINARY_DIR "/src/launch/launch_victim32";
  Ran ran = Launch({"i386.mkdir=ENOTTY"}, {program});
  EXPECT_EQ(ran.exit_code(), 25) << ran.err;  // ENOTTY
  EXPECT_NE(ran.err.find("i386.mkdir(pathname=\"/nowhere\", mode=0777)  → ENOTTY"),
            std::string::npos)
      << ran.err;
  EXPECT_EQ(Launch({"i386.mkdir=kill"}, {program}).signal(), SIGSYS);
}

TEST_P(Transparent, AnExecByAThreadKeepsTheFilterAndTheStatus) {
  Ran ran = Launch({"mkdir=EPERM"}, {kVictim, "exec_in_thread"});
  EXPECT_EQ(ran.exit_code(), 9) << ran.err;
  EXPECT_NE(ran.err.find("mkdir(pathname=\"/after\""), std::string::npos) << ran.err;
}

TEST_P(Transparent, CommandsThatCannotRunHaveTheirOwnStatus) {
  Ran missing = Launch({}, {"no-such-command"});
  EXPECT_EQ(missing.exit_code(), 127);
  EXPECT_EQ(missing.err, "callgate: cannot run no-such-command: command not found\n");
  Ran absent = Launch({}, {"/no/such/command"});
  EXPECT_EQ(absent.exit_code(), 127);
  EXPECT_EQ(absent.err, "callgate: cannot run /no/such/command: No such file or directory\n");
  Ran denied = Launch({}, {"/etc/passwd"});
  EXPECT_EQ(denied.exit_code(), 126);
  EXPECT_EQ(denied.err, "callgate: cannot run /etc/passwd: Permission denied\n");
}

TEST_P(Transparent, AChildOfTheCallerIsTheSame) {
  Ran ran = Launch({"--spawn", "mkdir=EPERM"}, Shell("mkdir /nowhere 2>/dev/null; exit 6"));
  EXPECT_EQ(ran.exit_code(), 6);
  EXPECT_NE(ran.err.find("callgate: denied  mkdir("), std::string::npos) << ran.err;
  Ran missing = Launch({"--spawn"}, {"no-such-command"});
  EXPECT_EQ(missing.exit_code(), 127);
  EXPECT_EQ(missing.err, "callgate: cannot run no-such-command: command not found\n");
}

TEST_P(Transparent, PipesCloseWhenTheProgramClosesThem) {
  Ran ran = RunCommand(
      Shell(fmt::format("{} mkdir=EPERM {} -- yes | head -1", kDriver, GetParam().extra_rule)));
  EXPECT_EQ(ran.out, "y\n");
  // What the program leaves running does not keep its standard error open.
  auto before = Clock::now();
  ran = RunCommand({"/bin/bash", "-c",
                    fmt::format("echo \"$({} mkdir=EPERM {} -- sh -c 'sleep 5 >/dev/null 2>&1 & "
                                "mkdir /nowhere; echo done' 2>&1)\"",
                                kDriver, GetParam().extra_rule)});
  EXPECT_NE(ran.out.find("done\n"), std::string::npos);
  EXPECT_LT(Clock::now() - before, milliseconds(4000));
}

TEST_P(Transparent, WhatIsLeftRunningStaysUnderTheFilter) {
  Ran ran = RunCommand(
      {"/bin/bash", "-c",
       fmt::format("exec 9<<<''; {} mkdir=ENOTTY {} -- sh -c '(sleep 0.3; mkdir /nowhere 2>&1; "
                   "echo end) | cat & exit 4'; echo $?; wait; sleep 1",
                   kDriver, GetParam().extra_rule)});
  EXPECT_NE(ran.out.find("4\n"), std::string::npos) << ran.out;
  EXPECT_NE(ran.out.find("Inappropriate ioctl for device\nend\n"), std::string::npos) << ran.out;
}

TEST_P(Transparent, TenThousandDenialsAreQuick) {
  auto before = Clock::now();
  Ran ran = Launch({"mkdir=EPERM"}, {kVictim, "repeat", "10000"});
  EXPECT_EQ(ran.exit_code(), 0) << ran.err;
  EXPECT_LT(Clock::now() - before, milliseconds(10'000));
  EXPECT_NE(ran.err.find("9999 more times"), std::string::npos) << ran.err;
}

TEST(Run, TenThousandDenialsLeakNoDescriptorOfTheSupervisor) {
  // Only root may look into the supervisor.
  Ran ran = RunCommand(Driver({"mkdir=EPERM"}, {kVictim, "leak", "10000"}));
  EXPECT_EQ(ran.out, "no more than before\n") << ran.err;
}

TEST_P(Transparent, OneHundredAtOnce) {
  std::vector<pid_t> pids;
  base::UniqueFd err = TemporaryFile();
  for (int i = 0; i < 100; ++i) {
    pids.push_back(
        Start(Driver({"mkdir=EPERM", GetParam().extra_rule}, {kVictim, "repeat", "3", "11"}), [&] {
          dup2(err.get(), 2);
          if (GetParam().as_nobody) BecomeNobody();
        }));
  }
  for (pid_t pid : pids) {
    int status = WaitFor(pid);
    EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 11) << status;
  }
  std::string text = Contents(err.get());
  EXPECT_EQ(std::ranges::count(text, '\n'), 400);
}

TEST_P(Transparent, AKilledSupervisorTakesTheProgramWithIt) {
  pid_t pid = Start(Driver({"mkdir=EPERM", GetParam().extra_rule}, {"/bin/sleep", "100"}), [] {
    if (GetParam().as_nobody) BecomeNobody();
  });
  pid_t supervisor = SupervisorOf(pid);
  ASSERT_GT(supervisor, 1);
  kill(supervisor, SIGKILL);
  int status = WaitFor(pid);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) << status;
}

TEST_P(Transparent, TheProgramCannotReachItsSupervisor) {
  // Root may, unless the policy denies ptrace and its like.
  Ran ran =
      RunCommand(Driver({"mkdir=EPERM", GetParam().extra_rule}, {kVictim, "attack"}), BecomeNobody);
  EXPECT_EQ(ran.out,
            "ptrace: Operation not permitted\npidfd_getfd: Operation not permitted\nnew listener: "
            "Device or resource busy\n");
}

TEST_P(Transparent, AProgramKilledWhileItsCallWaitsIsNotAnError) {
  Ran ran = Launch({"mkdir=EPERM"}, {kVictim, "killed_in_call"});
  EXPECT_EQ(ran.exit_code(), 0) << ran.err;
  EXPECT_EQ(ran.err.find("cannot"), std::string::npos) << ran.err;
}

TEST_P(Transparent, SignalsAreDeliveredOnceAndWhole) {
  Ran ran = Launch({"mkdir=EPERM"}, {kVictim, "queued_signals"});
  EXPECT_EQ(ran.out, "50 signals, sum 1225\n") << ran.err;
}

TEST_P(Transparent, ClosedStandardStreamsStayClosed) {
  Ran ran = Launch({"mkdir=EPERM"}, {kVictim, "repeat", "2", "4"}, [] {
    close(0);
    close(1);
    close(2);
  });
  EXPECT_EQ(ran.exit_code(), 4);
  EXPECT_EQ(ran.err, "");
}

// Stops and continues at every moment of a launch: none is lost, none sticks.
TEST_P(Transparent, StopsWhileItStartsAreNeitherLostNorKept) {
  for (int i = 0; i < 200; ++i) {
    pid_t pid = Start(Driver({"mkdir=EPERM", GetParam().extra_rule}, {kVictim, "exit", "3"}), [] {
      if (GetParam().as_nobody) BecomeNobody();
    });
    for (int j = 0; j < 3; ++j) {
      std::this_thread::sleep_for(std::chrono::microseconds(i * 7));
      kill(pid, SIGSTOP);
      std::this_thread::sleep_for(std::chrono::microseconds(i * 3));
      kill(pid, SIGCONT);
    }
    int status = WaitFor(pid);
    ASSERT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 3) << "round " << i << ": " << status;
  }
}

// --- in a terminal ---------------------------------------------------------------------------

class Terminal {
 public:
  explicit Terminal(const Words& command) {
    int fd = -1;
    pid_ = forkpty(&fd, nullptr, nullptr, nullptr);
    if (pid_ == 0) {
      setenv("PS1", "ready> ", 1);
      setenv("TERM", "dumb", 1);
      std::vector<char*> argv;
      for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
      argv.push_back(nullptr);
      execv(argv[0], argv.data());
      _exit(99);
    }
    fd_ = base::UniqueFd(fd);
  }

  void Type(std::string_view text) {
    seen_.clear();
    ASSERT_EQ(write(fd_.get(), text.data(), text.size()), static_cast<ssize_t>(text.size()));
  }
  void Expect(std::string_view text) {
    auto deadline = Clock::now() + kPatience;
    while (seen_.find(text) == std::string::npos) {
      pollfd ready{.fd = fd_.get(), .events = POLLIN, .revents = 0};
      char buffer[4096];
      ssize_t size = poll(&ready, 1, 100) > 0 ? read(fd_.get(), buffer, sizeof buffer) : 0;
      if (size > 0) seen_.append(buffer, static_cast<std::size_t>(size));
      if (size < 0 || Clock::now() > deadline) {
        FAIL() << "no '" << text << "' in: " << seen_;
      }
    }
  }
  pid_t pid() const { return pid_; }

 private:
  pid_t pid_ = -1;
  base::UniqueFd fd_;
  std::string seen_;
};

TEST_P(Transparent, AShellInATerminalHasJobControl) {
  Words command =
      Driver({"mkdir=EPERM", GetParam().extra_rule}, {"/bin/bash", "--norc", "--noprofile", "-i"});
  Terminal terminal(command);
  terminal.Expect("ready> ");
  terminal.Type("sleep 100\n");
  std::this_thread::sleep_for(milliseconds(200));
  terminal.Type("\x1a");
  terminal.Expect("Stopped");
  terminal.Type("fg\n");
  std::this_thread::sleep_for(milliseconds(200));
  terminal.Type("\x03");
  terminal.Expect("ready> ");
  terminal.Type("echo status $?\n");
  terminal.Expect("status 130");
  terminal.Type("mkdir /nowhere\n");
  terminal.Expect("callgate: denied  mkdir(");
  terminal.Expect("Operation not permitted");
  terminal.Type("exit 5\n");
  int status = WaitFor(terminal.pid());
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 5) << status;
}

TEST_P(Transparent, ItsOwnShellCanStopAndContinueTheProgram) {
  Terminal terminal({"/bin/bash", "--norc", "--noprofile", "-i"});
  terminal.Expect("ready> ");
  terminal.Type(fmt::format("{} mkdir=EPERM {} -- sleep 100\n", kDriver, GetParam().extra_rule));
  std::this_thread::sleep_for(milliseconds(300));
  terminal.Type("\x1a");
  terminal.Expect("Stopped");
  terminal.Type("fg\n");
  std::this_thread::sleep_for(milliseconds(200));
  terminal.Type("\x1a");
  terminal.Expect("Stopped");
  terminal.Type("kill %1; fg\n");
  terminal.Expect("Terminated");
  terminal.Type("echo status $?\n");
  terminal.Expect("status 143");
  terminal.Type("exit 0\n");
  EXPECT_EQ(WaitFor(terminal.pid()), 0);
}

TEST_P(Transparent, StopsAndContinuesAreSeenByTheParent) {
  pid_t pid = Start(Driver({"mkdir=EPERM", GetParam().extra_rule}, {"/bin/sleep", "100"}), [] {
    if (GetParam().as_nobody) BecomeNobody();
  });
  ASSERT_NE(SupervisorOf(pid), 0);
  int status = 0;
  kill(pid, SIGSTOP);
  ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
  EXPECT_TRUE(WIFSTOPPED(status) && WSTOPSIG(status) == SIGSTOP);
  kill(pid, SIGCONT);
  ASSERT_EQ(waitpid(pid, &status, WCONTINUED), pid);
  EXPECT_TRUE(WIFCONTINUED(status));
  kill(pid, SIGINT);
  status = WaitFor(pid);
  EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == SIGINT);
}

}  // namespace
}  // namespace callgate::launch
