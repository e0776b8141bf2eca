#include "policy/evaluate.h"

#include <algorithm>

#include "abi/syscalls.h"
#include "policy/typed.h"

namespace callgate::policy {
namespace {

// The language as it is defined, word for word: no sharing, no order of tests, no words of 32 bits.
// Slow, and easy to believe; the graph, the filter and the kernel are compared with it.

bool Ordered(std::uint64_t a, std::uint64_t b, bool is_signed) {
  return is_signed ? static_cast<std::int64_t>(a) < static_cast<std::int64_t>(b) : a < b;
}

Verdict JudgeList(const TypedPolicy& policy, const Rule& rule, const ClauseList& list,
                  const abi::Call& call, const LookFunction& look) {
  // A clause that may or may not match does not matter if all that can follow is the same.
  std::optional<Verdict> maybe;
  bool open = false;
  auto decide = [&](Verdict verdict) {
    if (!maybe) return verdict;
    if (!open && maybe->action == verdict.action) return *maybe;
    verdict.action = {Verb::kLook, 0};
    verdict.reason = Reason::kLook;
    verdict.clause = nullptr;
    verdict.span = list.span;
    return verdict;
  };
  for (const Clause& clause : list.clauses) {
    std::optional<bool> holds = Holds(clause.predicate, call, look);
    if (holds == false) continue;
    Verdict verdict{.action = clause.action,
                    .reason = Reason::kClause,
                    .arch = {},
                    .rule = &rule,
                    .clause = &clause,
                    .span = clause.span};
    if (holds) return decide(verdict);
    if (!maybe) maybe = verdict;
    open = open || maybe->action != verdict.action;
  }
  return decide({.action = policy.default_action,
                 .reason = Reason::kNoMatch,
                 .arch = {},
                 .rule = &rule,
                 .clause = nullptr,
                 .span = list.span});
}

Verdict JudgeUnruled(const TypedPolicy& policy, abi::ArchId arch, std::int32_t nr) {
  const abi::Syscall* known = abi::FindSyscall(arch, nr);
  bool newer = known != nullptr && policy.as_of && known->since && *known->since > *policy.as_of;
  if (known == nullptr || newer) {
    return {.action = policy.unknown_action,
            .reason = Reason::kUnknown,
            .arch = arch,
            .rule = nullptr,
            .clause = nullptr,
            .span = policy.unknown_span};
  }
  return {.action = policy.default_action,
          .reason = Reason::kNoRule,
          .arch = arch,
          .rule = nullptr,
          .clause = nullptr,
          .span = policy.default_span};
}

}  // namespace

bool LooksDeep(const Expr& expr) {
  return expr.kind == Expr::Kind::kDeep || std::ranges::any_of(expr.children, LooksDeep);
}

std::optional<bool> Holds(const Expr& expr, const abi::Call& call, const LookFunction& look) {
  auto masked = [&] { return ValueOf(expr.operand, call) & expr.mask; };
  auto less = [&](std::uint64_t a, std::uint64_t b) {
    return Ordered(a, b, expr.operand.is_signed);
  };
  // All children are `value`: `value`. One is not: the opposite. Else it is not known.
  auto all_are = [&](bool value) -> std::optional<bool> {
    std::optional<bool> result = value;
    for (const Expr& child : expr.children) {
      std::optional<bool> holds = Holds(child, call, look);
      if (!holds) result.reset();
      if (holds == !value) return !value;
    }
    return result;
  };
  switch (expr.kind) {
    case Expr::Kind::kConstant:
      return expr.truth;
    case Expr::Kind::kCompare:
      switch (expr.op) {
        case Compare::kEqual:
          return masked() == expr.constant;
        case Compare::kNotEqual:
          return masked() != expr.constant;
        case Compare::kLess:
          return less(masked(), expr.constant);
        case Compare::kLessEqual:
          return !less(expr.constant, masked());
        case Compare::kGreater:
          return less(expr.constant, masked());
        case Compare::kGreaterEqual:
          return !less(masked(), expr.constant);
      }
      return false;
    case Expr::Kind::kIn:
      return std::ranges::any_of(expr.ranges, [&](const Range& range) {
        return !less(masked(), range.low) && !less(range.high, masked());
      });
    case Expr::Kind::kAnd:
      return all_are(true);
    case Expr::Kind::kOr:
      return all_are(false);
    case Expr::Kind::kNot: {
      std::optional<bool> holds = Holds(expr.children.front(), call, look);
      if (holds) return !*holds;
      return std::nullopt;
    }
    case Expr::Kind::kDeep: {
      if (!look) return std::nullopt;
      DeepValue value = look(expr.deep->subject);
      if (expr.deep->match != DeepTest::Match::kNumber) return Passes(*expr.deep, value);
      const auto* number = std::get_if<std::uint64_t>(&value);
      return number != nullptr &&
             Holds(expr.children.front(), abi::Call{.args = {*number}}) == true;
    }
  }
  return false;
}

Verdict Judge(const TypedPolicy& policy, const abi::Call& call) {
  return Judge(policy, call, nullptr);
}

Verdict Judge(const TypedPolicy& policy, const abi::Call& call, const LookFunction& look) {
  std::optional<abi::ArchId> arch = abi::ArchOfCall(call.arch, call.nr);
  auto rules = std::ranges::find_if(
      policy.arches, [&](const ArchPolicy& one) { return arch && one.arch == *arch; });
  if (rules == policy.arches.end()) {
    return {.action = policy.bad_arch_action,
            .reason = Reason::kBadArch,
            .arch = arch,
            .rule = nullptr,
            .clause = nullptr,
            .span = policy.bad_arch_span};
  }
  auto rule = std::ranges::lower_bound(rules->rules, call.nr, {}, &Rule::nr);
  if (rule == rules->rules.end() || rule->nr != call.nr) {
    return JudgeUnruled(policy, *arch, call.nr);
  }
  std::optional<Verdict> strictest;
  for (const ClauseList& list : rule->lists) {
    Verdict verdict = JudgeList(policy, *rule, list, call, look);
    verdict.looked =
        look && JudgeList(policy, *rule, list, call, nullptr).action.verb == Verb::kLook;
    bool looked = verdict.looked || (strictest && strictest->looked);
    if (!strictest || LaterWins(*strictest, verdict)) strictest = verdict;
    strictest->looked = looked;
  }
  strictest->arch = arch;
  return *strictest;
}

}  // namespace callgate::policy
