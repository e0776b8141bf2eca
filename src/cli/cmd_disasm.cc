#include "callgate/program.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {

int RunDisasm(const Arguments& arguments) {
  const Verb& verb = VerbNamed("disasm");
  if (arguments.operands.size() != 1) {
    return UsageError(
        verb, arguments.operands.empty() ? "no filter given" : "one filter makes one listing");
  }
  const std::string& path = arguments.operands[0];
  auto bytes = ReadInput(path);
  if (!bytes) {
    Complain("disasm", bytes.error().message);
    return kBadInput;
  }
  auto instructions = ReadDump(*bytes);
  if (!instructions) {
    Complain("disasm", fmt::format("{}: {}", path, instructions.error().message));
    return kBadInput;
  }
  const std::string listing = Disassemble(*instructions);
  // What the kernel would refuse can be looked at all the same.
  auto program = Program::FromInstructions(std::move(*instructions));
  if (!program) Complain("disasm", fmt::format("{}: {}", path, program.error().message));
  return Finish(listing, program ? kHolds : kDoesNotHold);
}

}  // namespace callgate::cli
