#include <algorithm>
#include <string>
#include <vector>

#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

std::string Describe(const PlannedRule& rule) {
  std::string text = fmt::format("{}  {}  {}\n", rule.call, rule.arch, rule.place);
  std::size_t width = 0;
  for (const PlannedRule::Clause& clause : rule.clauses) {
    width = std::max(width, std::min<std::size_t>(clause.text.size(), 50));
  }
  for (const PlannedRule::Clause& clause : rule.clauses) {
    text +=
        fmt::format("  {:<{}}  {:<9}  {}\n", clause.text, width, clause.soundness, clause.layer);
  }
  if (!rule.performed.empty()) text += fmt::format("  performed  {}\n", rule.performed);
  text += fmt::format("  cost       {}\n", rule.cost);
  return text + fmt::format("  guarantee  {}\n", rule.guarantee);
}

}  // namespace

int RunPlan(const Arguments& arguments) {
  const Verb& verb = VerbNamed("plan");
  if (arguments.operands.empty()) return UsageError(verb, "no policy given");
  std::vector<PlannedRule> rules;
  for (const std::string& path : arguments.operands) {
    auto policy = LoadPolicy(path);
    if (!policy) return kBadInput;
    for (PlannedRule& rule : policy->Plan()) rules.push_back(std::move(rule));
  }
  bool supervised = std::ranges::any_of(rules, &PlannedRule::needs_supervisor);
  int status = supervised ? kDoesNotHold : kHolds;
  if (arguments.Has("json")) return Finish(PlanJson(rules), status);
  std::string text;
  std::size_t by_filter = 0;
  for (const PlannedRule& rule : rules) {
    if (rule.needs_supervisor()) {
      text += Describe(rule);
    } else {
      ++by_filter;
    }
  }
  text += fmt::format("{} rule{} kept by the filter alone\n", by_filter,
                      by_filter == 1 ? " is" : "s are");
  return Finish(text, status);
}

}  // namespace callgate::cli
