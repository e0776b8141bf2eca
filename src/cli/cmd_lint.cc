#include <unistd.h>

#include <algorithm>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "callgate/analysis.h"
#include "callgate/lint.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/output.h"
#include "cli/sarif.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

std::optional<LintSeverity> FindSeverity(std::string_view name) {
  if (name == "info") return LintSeverity::kInfo;
  if (name == "warning") return LintSeverity::kWarning;
  if (name == "error") return LintSeverity::kError;
  return std::nullopt;
}

// The findings of one file, mended first if asked. nullopt: it could not be read or written, which
// has been said.
std::optional<std::vector<LintFinding>> LintFile(const std::string& path, bool fix) {
  const auto subject = LoadSubject(path);
  if (!subject) return std::nullopt;
  if (!fix) return Lint(*subject);
  if (!subject->is_policy()) {
    Complain("lint", fmt::format("{}: --fix mends policies, not filters", path));
    return Lint(*subject);
  }
  const auto bytes = ReadInput(path);
  if (!bytes) {
    Complain("lint", bytes.error().message);
    return std::nullopt;
  }
  const auto complain = [](const Diagnostics& diagnostics) {
    for (const Diagnostic& diagnostic : diagnostics.all) PrintDiagnostic(diagnostic);
    return std::nullopt;
  };
  auto fixed = FixPolicyText(path, *bytes);
  if (!fixed) return complain(fixed.error());
  if (*fixed == *bytes) return Lint(*subject);
  auto again = Subject::FromBytes(path, *fixed);
  if (!again) return complain(again.error());
  if (!ReplaceFile("lint", path, *fixed)) return std::nullopt;
  return Lint(*again);
}

std::string Text(const std::vector<LintFinding>& findings) {
  const bool color = UseColor(STDOUT_FILENO);
  std::string text;
  for (const LintFinding& finding : findings) {
    if (!finding.is_suppressed) text += color ? finding.color_text : finding.text;
  }
  return text;
}

}  // namespace

int RunLint(const Arguments& arguments) {
  const Verb& verb = VerbNamed("lint");
  if (arguments.operands.empty()) return UsageError(verb, "no policy or filter given");
  if (arguments.Has("json") && arguments.Has("sarif")) {
    return UsageError(verb, "--json and --sarif are two forms of one output");
  }
  const bool fix = arguments.Has("fix");
  if (fix && std::ranges::find(arguments.operands, "-") != arguments.operands.end()) {
    return UsageError(verb, "--fix rewrites files; standard input is none");
  }
  const std::string_view level = arguments.Value("severity").value_or("warning");
  const auto threshold = FindSeverity(level);
  if (!threshold) {
    return UsageError(verb, fmt::format("'{}' is not info, warning or error", level));
  }
  std::vector<LintFinding> findings;
  int status = kHolds;
  for (const std::string& path : arguments.operands) {
    auto found = LintFile(path, fix);
    if (!found) {
      status = kBadInput;
      continue;
    }
    std::ranges::move(*found, std::back_inserter(findings));
  }
  const bool fails = std::ranges::any_of(findings, [&](const LintFinding& finding) {
    return !finding.is_suppressed && finding.severity >= *threshold;
  });
  if (fails && status == kHolds) status = kDoesNotHold;
  if (arguments.Has("json")) return Finish(FindingsJson(findings), status);
  if (arguments.Has("sarif")) return Finish(FindingsSarif(findings), status);
  return Finish(Text(findings), status);
}

}  // namespace callgate::cli
