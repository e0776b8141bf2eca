#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/output.h"
#include "cli/verbs.h"

namespace callgate::cli {
namespace {

// Every finding of one file: errors and warnings alike.
std::vector<Diagnostic> Check(const std::string& path) {
  auto policy = ReadPolicy(path);
  return policy ? policy->warnings() : policy.error().all;
}

}  // namespace

int RunCheck(const Arguments& arguments) {
  if (arguments.operands.empty()) return UsageError(VerbNamed("check"), "no policy given");
  int status = kHolds;
  std::vector<Diagnostic> findings;
  for (const std::string& path : arguments.operands) {
    for (Diagnostic& finding : Check(path)) {
      if (finding.severity == Diagnostic::Severity::kError) status = kBadInput;
      findings.push_back(std::move(finding));
    }
  }
  if (arguments.Has("json")) return Finish(DiagnosticsJson(findings), status);
  for (const Diagnostic& finding : findings) PrintDiagnostic(finding);
  return status;
}

}  // namespace callgate::cli
