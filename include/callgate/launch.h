#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "callgate/error.h"
#include "callgate/export.h"
#include "callgate/policy.h"
#include "callgate/program.h"

namespace callgate {

enum class ReportFormat : std::uint8_t {
  kText,
  kJson,  // one object a line
};

struct LaunchOptions {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH if it has no slash
  std::vector<Policy> layers;     // all are enforced, the strictest action wins; at least one
  // Reports denials on standard error through a supervisor process beside the program. Without it
  // the kernel enforces alone and nothing of callgate stays behind.
  bool supervisor = true;
  ReportFormat format = ReportFormat::kText;
  int status_fd =
      -1;  // JSON lines: started, denied, exited; -1: none. Not passed on to the program.
  // JSON lines: every call that the supervisor decides, by which rule, on what copied inputs, with
  // what outcome, and how long it took; at the end how many had which outcome. -1: none. Not passed
  // on to the program. Calls that the filter allows are not among them.
  int audit_fd = -1;
  // Denials are kept there too, for ReadLastRun; the folder is made when there is one. Empty:
  // nowhere. Must be absolute.
  std::string state_folder;
  // A stream socket to the handler that decides what a policy leaves to `notify`: a JSON line there
  // for each call, a JSON line back (callgate-run(1); supervisor.h does it for handlers in C++).
  // Needed by such policies. Closed in this process's successor; not passed on to the program.
  int notify_fd = -1;
};

// Why a launch failed, as an exit status: 125 callgate's own error, 126 the command cannot be
// executed, 127 not found.
struct LaunchError {
  int exit_code = 125;
  std::string message;
};

// A denied call as it was reported.
struct Denial {
  std::string call;     // "fdatasync(fd=7 </srv/audit.log>)"; "openat(…)": many that differ
  std::string outcome;  // "EPERM"
  pid_t pid = 0;
  pid_t tid = 0;
  std::string process;
  std::string thread;
  std::string place;  // "app.cg:12"
  std::string rule;
  std::string reason;
  std::string add;  // the line that would allow it
  std::string group;
  Call registers;
  std::uint64_t repeats = 0;  // it came so often again
  std::string text;           // the lines of the report
};

// The last run with denials that was given this state_folder.
struct LastRun {
  std::vector<std::string> command;
  pid_t pid = 0;
  std::optional<int> status;  // as a shell tells it; nullopt: it was not seen to end
  std::vector<Denial> denials;
};

// nullopt: there was none. Fails where the file is not the user's alone.
CALLGATE_EXPORT Result<std::optional<LastRun>> ReadLastRun(const std::string& state_folder);

// Becomes the program: same process, parent, group, terminal and descriptors. Enforcement starts
// after the exec, so the policies need not allow what callgate itself does, and may deny execve.
// Returns only when it fails; nothing ran then.
CALLGATE_EXPORT LaunchError Exec(const LaunchOptions& options);

// The same in a child process. The caller waits for it with waitpid(2).
CALLGATE_EXPORT std::expected<pid_t, LaunchError> Spawn(const LaunchOptions& options);

}  // namespace callgate
