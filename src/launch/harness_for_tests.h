#pragma once

#include <signal.h>
#include <sys/types.h>
#include <sys/wait.h>

#include <chrono>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

// What the tests on the real kernel share: commands are run through launch_driver
// (driver_for_tests.cc), often with launch_victim (victim_for_tests.cc) as the program.

namespace callgate::launch {

using std::chrono::milliseconds;
using Words = std::vector<std::string>;
using Clock = std::chrono::steady_clock;

inline const std::string kDriver = CALLGATE_BINARY_DIR "/src/launch/launch_driver";
inline const std::string kVictim = CALLGATE_BINARY_DIR "/src/launch/launch_victim";
inline constexpr uid_t kNobody = 65534;
inline constexpr milliseconds kPatience{20'000};

struct Ran {
  int status = -1;  // as waitpid gives it
  std::string out = {};
  std::string err = {};

  int exit_code() const { return WIFEXITED(status) ? WEXITSTATUS(status) : -1; }
  int signal() const { return WIFSIGNALED(status) ? WTERMSIG(status) : 0; }
};

// All of a file, from its start.
std::string Contents(int fd);
base::UniqueFd TemporaryFile();

// fork and exec; `prepare` runs in the child before.
pid_t Start(const Words& command, const std::function<void()>& prepare);
// The wait status; fails the test when the process does not end.
int WaitFor(pid_t pid);
Ran RunCommand(const Words& command, const std::function<void()>& prepare = [] {});

// driver POLICY… -- COMMAND…
Words Driver(const Words& policy, const Words& command);
Words Shell(const std::string& script);

void BecomeNobody();
// Process ids differ from run to run.
std::string WithoutPids(const std::string& text);
// The process that traces `pid`, which has been made to run sleep(1).
pid_t SupervisorOf(pid_t pid);

// Root and an unprivileged user, where the policy only refuses and where it kills (all is traced).
struct Setting {
  const char* name;
  bool as_nobody;
  const char* extra_rule;
};
class RunAs : public ::testing::TestWithParam<Setting> {
 protected:
  Ran Launch(
      Words policy, const Words& command, const std::function<void()>& prepare = [] {}) const;
};
inline const auto kSettings = ::testing::Values(
    Setting{"RootErrno", false, "syslog=EPERM"}, Setting{"RootKill", false, "syslog=kill"},
    Setting{"NobodyErrno", true, "syslog=EPERM"}, Setting{"NobodyKill", true, "syslog=kill"});
inline std::string SettingName(const ::testing::TestParamInfo<Setting>& setting) {
  return setting.param.name;
}

}  // namespace callgate::launch
