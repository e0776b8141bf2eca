#include <string>

#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "cli/verdict_text.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace callgate::cli {
namespace {

std::string Describe(const Evaluation& evaluation) {
  if (evaluation.verdict) {
    std::string text = fmt::format("{}  → {}", evaluation.call, VerdictText(*evaluation.verdict));
    if (!evaluation.path.empty()) {
      text += fmt::format("  filter    {} instructions: {}\n", evaluation.path.size(),
                          fmt::join(evaluation.path, " "));
    }
    return text;
  }
  std::string text = fmt::format("{}  → depends on its arguments\n", evaluation.call);
  return text + CasesText(evaluation.cases);
}

int StatusOf(const Evaluation& evaluation) {
  if (!evaluation.verdict) return kUndecided;
  return evaluation.verdict->allowed() ? kHolds : kDoesNotHold;
}

}  // namespace

int RunEval(const Arguments& arguments) {
  const Verb& verb = VerbNamed("eval");
  if (arguments.operands.empty()) return UsageError(verb, "no policy given");
  if (arguments.operands.size() < 2) {
    return UsageError(verb, "no call given; for instance 'openat(AT_FDCWD, *, O_RDONLY)'");
  }
  auto policy = LoadPolicy(arguments.operands[0]);
  if (!policy) return kBadInput;

  int status = kHolds;
  std::vector<Evaluation> evaluations;
  for (std::size_t i = 1; i < arguments.operands.size(); ++i) {
    auto evaluation = policy->EvaluateText(arguments.operands[i]);
    if (!evaluation) {
      Complain("eval", evaluation.error().message);
      return kBadInput;
    }
    // One denied call is a clear "no", whatever the others depend on.
    int own = StatusOf(*evaluation);
    if (status == kHolds || own == kDoesNotHold) status = own;
    evaluations.push_back(std::move(*evaluation));
  }
  if (arguments.Has("json")) return Finish(EvaluationsJson(evaluations), status);
  std::string text;
  for (const Evaluation& evaluation : evaluations) text += Describe(evaluation);
  return Finish(text, status);
}

}  // namespace callgate::cli
