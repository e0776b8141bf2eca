#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/program_output.h"
#include "cli/verbs.h"

namespace callgate::cli {

int RunCompile(const Arguments& arguments) {
  const Verb& verb = VerbNamed("compile");
  if (arguments.operands.size() != 1) {
    return UsageError(
        verb, arguments.operands.empty() ? "no policy given" : "one policy makes one filter");
  }
  auto output = ParseProgramOutput(verb, arguments, "listing");
  if (!output) return verb.usage_status;
  auto policy = LoadPolicy(arguments.operands[0]);
  if (!policy) return kBadInput;
  auto program = policy->Compile();
  if (!program) {
    Complain("compile", program.error().message);
    return kBadInput;
  }
  return WriteProgram(verb, *output, *program);
}

}  // namespace callgate::cli
