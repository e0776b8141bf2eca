// Takes parts of a policy away as long as it still fails: the greedy form of delta debugging. Each
// pass tries every place where something can go; passes repeat until none helps. Quadratic in the
// policy, and only ever run on a failure.

#include <fmt/format.h>

#include <functional>
#include <utility>

#include "testing/random_typed_policy.h"

namespace callgate::testing {
namespace {

using policy::ArchPolicy;
using policy::Clause;
using policy::ClauseList;
using policy::Expr;
using policy::Rule;
using policy::TypedPolicy;

using Fails = std::function<bool(const TypedPolicy&)>;

// Tries `change` on the policy in place; undoes it if the policy then passes. The part being
// changed is replaced as a whole, so undoing is one assignment.
template <typename Part>
bool Try(TypedPolicy& policy, const Fails& fails, Part& part, Part smaller) {
  std::swap(part, smaller);
  if (fails(policy)) return true;
  std::swap(part, smaller);
  return false;
}

// Removes elements: first large runs, then single ones.
template <typename T>
bool ShrinkList(TypedPolicy& policy, const Fails& fails, std::vector<T>& list, std::size_t least) {
  bool progress = false;
  for (std::size_t run = std::max<std::size_t>(list.size() / 2, 1); run > 0; run /= 2) {
    for (std::size_t at = 0; at + run <= list.size() && list.size() - run >= least;) {
      std::vector<T> smaller = list;
      smaller.erase(smaller.begin() + static_cast<std::ptrdiff_t>(at),
                    smaller.begin() + static_cast<std::ptrdiff_t>(at + run));
      if (Try(policy, fails, list, std::move(smaller))) {
        progress = true;
      } else {
        ++at;
      }
    }
  }
  return progress;
}

bool ShrinkExpr(TypedPolicy& policy, const Fails& fails, Expr& expr) {
  bool progress = false;
  for (std::size_t i = 0; i < expr.children.size(); ++i) {
    Expr child = expr.children[i];
    if (Try(policy, fails, expr, std::move(child))) return true;
  }
  if (expr.kind != Expr::Kind::kConstant) {
    for (const bool truth : {false, true}) {
      Expr constant;
      constant.truth = truth;
      if (Try(policy, fails, expr, std::move(constant))) return true;
    }
  }
  if (expr.kind == Expr::Kind::kAnd || expr.kind == Expr::Kind::kOr) {
    progress |= ShrinkList(policy, fails, expr.children, 1);
  }
  if (expr.kind == Expr::Kind::kIn) progress |= ShrinkList(policy, fails, expr.ranges, 1);
  if (expr.mask != UINT64_MAX) {
    progress |= Try(policy, fails, expr.mask, std::uint64_t{UINT64_MAX});
  }
  for (Expr& child : expr.children) progress |= ShrinkExpr(policy, fails, child);
  return progress;
}

bool ShrinkOnce(TypedPolicy& policy, const Fails& fails) {
  bool progress = ShrinkList(policy, fails, policy.arches, 0);
  for (ArchPolicy& arch : policy.arches) {
    progress |= ShrinkList(policy, fails, arch.rules, 0);
    for (Rule& rule : arch.rules) {
      progress |= ShrinkList(policy, fails, rule.lists, 1);
      for (ClauseList& list : rule.lists) {
        progress |= ShrinkList(policy, fails, list.clauses, 0);
        for (Clause& clause : list.clauses) progress |= ShrinkExpr(policy, fails, clause.predicate);
      }
    }
  }
  return progress;
}

std::string Describe(const Expr& expr) {
  const policy::Operand& operand = expr.operand;
  std::string name =
      fmt::format("{}{}{}", operand.name, operand.is_signed ? ":s" : ":u", int{operand.bits});
  if (operand.high_slot) name += fmt::format("(high arg{})", int{*operand.high_slot});
  if (expr.mask != UINT64_MAX) name += fmt::format(" & {:#x}", expr.mask);
  std::string text;
  switch (expr.kind) {
    case Expr::Kind::kConstant:
      return expr.truth ? "1" : "0";
    case Expr::Kind::kCompare: {
      constexpr const char* kOps[] = {"==", "!=", "<", "<=", ">", ">="};
      return fmt::format("{} {} {:#x}", name, kOps[static_cast<int>(expr.op)], expr.constant);
    }
    case Expr::Kind::kIn:
      for (const policy::Range& range : expr.ranges) {
        text += fmt::format("{}{:#x}..{:#x}", text.empty() ? "" : ", ", range.low, range.high);
      }
      return fmt::format("{} in {{{}}}", name, text);
    case Expr::Kind::kAnd:
    case Expr::Kind::kOr:
      for (const Expr& child : expr.children) {
        if (!text.empty()) text += expr.kind == Expr::Kind::kAnd ? " && " : " || ";
        text += Describe(child);
      }
      return "(" + text + ")";
    case Expr::Kind::kNot:
      return "!" + Describe(expr.children.front());
    case Expr::Kind::kDeep:
      return expr.deep->subject.name + " …";
  }
  return text;
}

}  // namespace

TypedPolicy Shrink(TypedPolicy policy, const Fails& fails) {
  while (ShrinkOnce(policy, fails)) {
  }
  return policy;
}

std::string Describe(const TypedPolicy& policy) {
  auto name = [](policy::PolicyAction action) {
    return policy::ToString(action, abi::ArchId::kX86_64);
  };
  std::string text = fmt::format("default: {}  unknown: {}  bad_arch: {}  as_of: {}\n",
                                 name(policy.default_action), name(policy.unknown_action),
                                 name(policy.bad_arch_action),
                                 policy.as_of ? abi::ToString(*policy.as_of) : "none");
  for (const ArchPolicy& arch : policy.arches) {
    text += fmt::format("{}\n", abi::ArchOf(arch.arch).name);
    for (const Rule& rule : arch.rules) {
      for (const ClauseList& list : rule.lists) {
        text += fmt::format("  {}{}:", &list == &rule.lists.front() ? "" : "restrict ", rule.nr);
        for (const Clause& clause : list.clauses) {
          text += fmt::format(" {} -> {};", Describe(clause.predicate), name(clause.action));
        }
        text += '\n';
      }
    }
  }
  return text;
}

std::string Describe(const abi::Call& call) {
  std::string text = fmt::format("nr {} arch {:#x} ip {:#x} args", call.nr, call.arch, call.ip);
  for (const std::uint64_t arg : call.args) text += fmt::format(" {:#x}", arg);
  return text;
}

}  // namespace callgate::testing
