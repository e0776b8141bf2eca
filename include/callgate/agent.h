#pragma once

#include <string>

#include "callgate/error.h"
#include "callgate/export.h"
#include "callgate/launch.h"

namespace callgate {

struct AgentOptions {
  std::string socket;  // the listenerPath of the profiles
  std::string folder;  // of the policies: METADATA.cg, default.cg
  ReportFormat format = ReportFormat::kText;
};

// The seccomp agent of OCI runtimes (callgate-agent(1)): decides the calls that the profiles of
// containers notify, by the policy that a profile's listenerMetadata names. Serves until SIGTERM or
// SIGINT comes, and reports denied calls on standard error. The process must have one thread and no
// children, and is of no use for anything else afterwards.
CALLGATE_EXPORT Result<void> RunAgent(const AgentOptions& options);

}  // namespace callgate
