#include "callgate/analysis.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {

int RunDecompile(const Arguments& arguments) {
  const Verb& verb = VerbNamed("decompile");
  if (arguments.operands.size() != 1) {
    return UsageError(
        verb, arguments.operands.empty() ? "no filter given" : "one filter makes one policy");
  }
  const auto subject = LoadSubject(arguments.operands[0]);
  if (!subject) return kBadInput;
  const auto text = Decompile(*subject);
  if (!text) {
    Complain("decompile", fmt::format("{}: {}", subject->name(), text.error().message));
    return kBadInput;
  }
  return Finish(ExceptionsText(*text) + text->text,
                text->exceptions.empty() ? kHolds : kDoesNotHold);
}

}  // namespace callgate::cli
