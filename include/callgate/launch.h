#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "callgate/error.h"
#include "callgate/export.h"
#include "callgate/policy.h"

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
};

// Why a launch failed, as an exit status: 125 callgate's own error, 126 the command cannot be
// executed, 127 not found.
struct LaunchError {
  int exit_code = 125;
  std::string message;
};

// Becomes the program: same process, parent, group, terminal and descriptors. Enforcement starts
// after the exec, so the policies need not allow what callgate itself does, and may deny execve.
// Returns only when it fails; nothing ran then.
CALLGATE_EXPORT LaunchError Exec(const LaunchOptions& options);

// The same in a child process. The caller waits for it with waitpid(2).
CALLGATE_EXPORT std::expected<pid_t, LaunchError> Spawn(const LaunchOptions& options);

}  // namespace callgate
