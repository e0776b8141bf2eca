#include "policy/plan.h"

#include <algorithm>

#include "api/impl.h"
#include "callgate/policy.h"
#include "fmt/format.h"

namespace callgate {
namespace {

using policy::Soundness;

std::string_view NameOf(Soundness soundness) {
  switch (soundness) {
    case Soundness::kRegister:
      return "register";
    case Soundness::kObject:
      return "object";
    case Soundness::kCopied:
      return "copied";
    case Soundness::kPinned:
      return "pinned";
    case Soundness::kUnchecked:
      return "unchecked";
  }
  return {};
}

PlannedRule::Clause ToPublic(const Policy::Impl& policy, const policy::PlannedRule& rule,
                             const policy::PlannedClause& clause) {
  PlannedRule::Clause shown;
  shown.action = policy::ToString(clause.action, rule.arch);
  if (clause.clause != nullptr) {
    shown.place = policy.sources.LineLabel(clause.clause->span);
    shown.text = policy.sources.text(clause.clause->span);
  } else {
    shown.place = policy.sources.LineLabel(policy.typed.default_span);
    shown.text = "default " + shown.action;
  }
  shown.soundness = NameOf(clause.soundness);
  bool answered = policy::KernelAction(clause.action).kind == abi::ActionKind::kUserNotif;
  shown.layer = clause.soundness == Soundness::kRegister && !answered ? "filter" : "supervisor";
  return shown;
}

bool Any(const policy::PlannedRule& rule, Soundness soundness) {
  return std::ranges::any_of(rule.clauses, [&](const policy::PlannedClause& clause) {
    return clause.soundness == soundness;
  });
}

}  // namespace

std::optional<Error> NeedsMoreThanAFilter(const Policy& policy) {
  if (!policy::NeedsSupervisor(policy.impl().typed)) return std::nullopt;
  return Error{
      fmt::format("a filter alone cannot keep {}: it needs the supervisor of 'callgate run' "
                  "('callgate plan' says for which rules)",
                  policy.name())};
}

bool PlannedRule::needs_supervisor() const {
  return std::ranges::any_of(clauses,
                             [](const Clause& clause) { return clause.layer == "supervisor"; });
}

std::vector<PlannedRule> Policy::Plan() const {
  std::vector<PlannedRule> all;
  for (const policy::PlannedRule& rule : policy::PlanPolicy(impl_->typed)) {
    PlannedRule shown;
    shown.arch = abi::ArchOf(rule.arch).name;
    shown.call = rule.rule->syscall;
    shown.place = impl_->sources.LineLabel(rule.rule->lists.front().span);
    for (const policy::PlannedClause& clause : rule.clauses) {
      shown.clauses.push_back(ToPublic(*impl_, rule, clause));
    }
    bool performs = rule.performance != policy::Performance::kNone;
    if (performs) shown.performed = policy::Describe(rule.performance);
    const bool loads = rule.performance == policy::Performance::kPinned;
    const bool moves = rule.performance == policy::Performance::kHeld;
    shown.cost = loads
                     ? "a notification, a look at the caller, and a stop before the program starts"
                 : moves    ? "a notification, a look at the caller, and a stop behind the call"
                 : performs ? "a notification, and the call made by the supervisor"
                 : rule.NeedsLook()         ? "a notification, and a look at the caller"
                 : shown.needs_supervisor() ? "a notification"
                                            : "tests in the kernel";
    shown.guarantee =
        Any(rule, Soundness::kUnchecked)
            ? "none where it is continued unchecked: another thread can change what was looked at"
        : loads
            ? "what was loaded is judged before its first instruction; if it is not allowed the "
              "process is killed"
        : moves
            ? "where the caller has come to is judged before its next instruction; if it is not "
              "allowed the process is killed"
        : Any(rule, Soundness::kCopied)
            ? "decided and performed on one copy, which no other thread can change"
        : rule.NeedsLook() ? "decided and performed on one duplicate of the descriptor"
                           : "registers cannot be changed by another thread";
    all.push_back(std::move(shown));
  }
  return all;
}

}  // namespace callgate
