#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/program_output.h"
#include "cli/verbs.h"

namespace callgate::cli {

int RunAsm(const Arguments& arguments) {
  const Verb& verb = VerbNamed("asm");
  if (arguments.operands.size() != 1) {
    return UsageError(
        verb, arguments.operands.empty() ? "no assembly file given" : "one file makes one filter");
  }
  auto output = ParseProgramOutput(verb, arguments, "hex");
  if (!output) return verb.usage_status;
  const std::string& path = arguments.operands[0];
  auto text = ReadInput(path);
  if (!text) {
    Complain("asm", text.error().message);
    return kBadInput;
  }
  auto program = Program::FromAssembly(path == "-" ? "<stdin>" : path, std::move(*text));
  if (!program) {
    for (const Diagnostic& finding : program.error().all) PrintDiagnostic(finding);
    return kBadInput;
  }
  return WriteProgram(verb, *output, *program);
}

}  // namespace callgate::cli
