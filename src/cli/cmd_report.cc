#include <optional>
#include <string>

#include "callgate/analysis.h"
#include "callgate/report.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace callgate::cli {

int RunReport(const Arguments& arguments) {
  const Verb& verb = VerbNamed("report");
  if (arguments.operands.empty()) return UsageError(verb, "no policy or filter given");
  if (arguments.operands.size() > 2) return UsageError(verb, "a report is about one or two");
  const auto a = LoadSubject(arguments.operands[0]);
  std::optional<Subject> b;
  if (arguments.operands.size() == 2) b = LoadSubject(arguments.operands[1]);
  if (!a || (arguments.operands.size() == 2 && !b)) return kBadInput;
  const std::string page = HtmlReport(*a, b ? &*b : nullptr);
  const std::string path(arguments.Value("output").value_or("-"));
  if (path == "-") return Finish(page, kHolds);
  return WriteFile("report", path, page) ? kHolds : kBadInput;
}

}  // namespace callgate::cli
