#include "callgate/agent.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace callgate::cli {

int RunAgent(const Arguments& arguments) {
  const Verb& verb = VerbNamed("agent");
  if (arguments.operands.size() != 2) {
    return UsageError(verb, "give a socket's path and the folder of the policies");
  }
  AgentOptions options;
  options.socket = arguments.operands[0];
  options.folder = arguments.operands[1];
  if (arguments.Has("json")) options.format = ReportFormat::kJson;
  auto ran = callgate::RunAgent(options);
  if (ran) return kHolds;
  Complain("agent", ran.error().message);
  return kOwnFailure;
}

}  // namespace callgate::cli
