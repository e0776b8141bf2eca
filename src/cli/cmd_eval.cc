#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "callgate/analysis.h"
#include "callgate/policy.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "cli/verdict_text.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

// "0-4 7": a path only goes forward.
std::string PathText(const std::vector<std::uint32_t>& path) {
  std::string text;
  for (auto first = path.begin(); first != path.end();) {
    auto last = std::adjacent_find(first, path.end(), [](auto a, auto b) { return b != a + 1; });
    if (last == path.end()) --last;
    text += fmt::format(" {}", *first);
    if (last != first) text += fmt::format("-{}", *last);
    first = last + 1;
  }
  return fmt::format("{} instruction{}:{}", path.size(), path.size() == 1 ? "" : "s", text);
}

std::string Describe(const Evaluation& evaluation) {
  if (evaluation.verdict) {
    std::string text = fmt::format("{}  → {}", evaluation.call, VerdictText(*evaluation.verdict));
    if (!evaluation.path.empty()) {
      text += fmt::format("  filter    {}\n", PathText(evaluation.path));
    }
    return text;
  }
  std::string text = fmt::format("{}  → depends on its arguments\n", evaluation.call);
  if (!evaluation.undecided.empty())
    text = fmt::format("{}  → undecided: {}\n", evaluation.call, evaluation.undecided);
  return text + CasesText(evaluation.cases);
}

using Judge = std::function<Result<Evaluation>(const std::string& call)>;

// A policy judges by its text, whatever it needs to be kept; all else by its filter. nullopt: why
// not has been said.
std::optional<Judge> LoadJudge(const std::string& operand) {
  const bool is_stdin = operand == "-";
  std::string bytes;
  if (is_stdin) {
    auto input = ReadInput(operand);
    if (!input) {
      Complain("eval", input.error().message);
      return std::nullopt;
    }
    bytes = *std::move(input);
  }
  const auto subject = is_stdin ? Subject::FromBytes("<stdin>", bytes) : ReadSubject(operand);
  if (subject && (!subject->is_policy() || subject->is_imported())) {
    return [subject = *subject](const std::string& call) { return EvaluateText(subject, call); };
  }
  std::optional<Policy> policy;
  if (!IsProcess(operand)) {
    auto read = is_stdin ? Policy::FromText("<stdin>", bytes) : Policy::FromFile(operand);
    if (read) policy = *std::move(read);
  }
  const std::vector<Diagnostic> refused = subject ? std::vector<Diagnostic>() : subject.error().all;
  for (const Diagnostic& finding : policy ? policy->warnings() : refused) PrintDiagnostic(finding);
  if (!policy) return std::nullopt;
  return [policy = *policy](const std::string& call) { return policy.EvaluateText(call); };
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
  const auto judge = LoadJudge(arguments.operands[0]);
  if (!judge) return kBadInput;

  int status = kHolds;
  std::vector<Evaluation> evaluations;
  for (std::size_t i = 1; i < arguments.operands.size(); ++i) {
    auto evaluation = (*judge)(arguments.operands[i]);
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
