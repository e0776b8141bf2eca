#include <string>

#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {
int RunFmt(const Arguments& arguments) {
  const Verb& verb = VerbNamed("fmt");
  if (arguments.operands.empty()) return UsageError(verb, "no policy given");
  bool in_place = arguments.Has("in-place");
  bool check = arguments.Has("check");
  if (in_place && check) return UsageError(verb, "choose one of --in-place and --check");

  int status = kHolds;
  std::string output;
  for (const std::string& path : arguments.operands) {
    auto text = ReadInput(path);
    if (!text) {
      Complain("fmt", text.error().message);
      return kBadInput;
    }
    auto formatted = FormatPolicyText(path, *text);
    if (!formatted) {
      for (const Diagnostic& diagnostic : formatted.error().all) PrintDiagnostic(diagnostic);
      return kBadInput;
    }
    bool changed = *formatted != *text;
    if (check) {
      if (changed) Complain("fmt", fmt::format("{} is not in canonical form", path));
      if (changed) status = kDoesNotHold;
    } else if (in_place && path != "-") {
      if (changed && !ReplaceFile("fmt", path, *formatted)) return kBadInput;
    } else {
      output += *formatted;
    }
  }
  return Finish(output, status);
}

}  // namespace callgate::cli
