// From the typed policy to the decision graph.
//
//     arch?  → number ranges → a body per rule → leaf
//
// Bodies. A predicate is built with the two places it leads to: And(p, q) to (yes, no) is p to
// (q to (yes, no), no), and Not swaps the two. So no boolean graph is ever built and combined,
// every part of an expression is built once, and sharing falls out of hash-consing. Clauses are
// lists of "if p then action else rest", built from the last one up; the last rest is the default.
//
// Until a body is finished its leaves are not filter values but indices of PolicyActions: lists
// that `restrict` joined are ranked by what the policy says, and only then is each action replaced
// by what the filter is to return, which a launcher may choose by number (LowerOptions).
//
// Numbers. A number that a rule names has that rule's body; one that only a table names, the
// default, or the unknown action if the kernel got it after as_of; all others are unknown. That is
// a step function of the number. x32 shares the architecture value of x86_64 and has the numbers
// from 2^30 to -2 (abi::ArchOfCall). Filters compare numbers unsigned, so -1, which a tracer writes
// to skip a call, is the largest.
//
// The architectures form a chain in the policy's order: the first is the native one and is met
// first. Checked: equal to Judge on random policies (testing/random_policy_test.cc).

#include "policy/lower.h"

#include <algorithm>
#include <ranges>
#include <utility>
#include <vector>

#include "abi/syscalls.h"
#include "base/check.h"
#include "graph/combine.h"
#include "graph/search_tree.h"
#include "graph/simplify.h"
#include "graph/steps.h"
#include "graph/wide.h"

namespace callgate::policy {
namespace {

using graph::NodeId;
using graph::Pool;
using graph::WideRange;
using graph::WideValue;

WideValue WideValueOf(const Operand& operand, std::endian order) {
  WideValue value;
  value.bits = operand.bits;
  value.is_signed = operand.is_signed;
  const bool is_wide = operand.bits > 32;
  switch (operand.field) {
    case Operand::Field::kInstructionPointer:
      CG_CHECK(operand.bits == 64);
      value.low_word = abi::IpLowWord(order);
      value.high_word = abi::IpHighWord(order);
      break;
    case Operand::Field::kArgument:
      value.low_word = abi::ArgLowWord(operand.slot, order);
      if (!is_wide) break;
      value.high_word = operand.high_slot ? abi::ArgLowWord(*operand.high_slot, order)
                                          : abi::ArgHighWord(operand.slot, order);
      break;
  }
  return value;
}

// The bodies of one policy's rules, leaves being indices into actions().
class BodyBuilder {
 public:
  explicit BodyBuilder(const TypedPolicy& policy) : policy_(policy) {}

  NodeId BodyOf(const Rule& rule, std::endian order);
  NodeId Always(const PolicyAction& action) { return pool_.Leaf(IndexOf(action)); }

  const Pool& pool() const { return pool_; }
  const PolicyAction& action(std::uint32_t index) const { return actions_[index]; }

 private:
  std::uint32_t IndexOf(const PolicyAction& action);
  NodeId ListBody(const ClauseList& list, std::endian order);
  NodeId Build(const Expr& expr, std::endian order, NodeId yes, NodeId no);
  NodeId BuildCompare(const Expr& expr, const WideValue& value, NodeId yes, NodeId no);

  const TypedPolicy& policy_;
  Pool pool_;
  std::vector<PolicyAction> actions_;
};

std::uint32_t BodyBuilder::IndexOf(const PolicyAction& action) {
  auto found = std::ranges::find(actions_, action);
  if (found == actions_.end()) found = actions_.insert(found, action);
  return static_cast<std::uint32_t>(found - actions_.begin());
}

NodeId BodyBuilder::BodyOf(const Rule& rule, std::endian order) {
  CG_CHECK(!rule.lists.empty());
  NodeId body = ListBody(rule.lists.front(), order);
  for (const ClauseList& list : rule.lists | std::views::drop(1)) {
    body = graph::Combine(pool_, body, ListBody(list, order),
                          [&](std::uint32_t earlier, std::uint32_t later) {
                            return LaterWins(actions_[earlier], actions_[later]) ? later : earlier;
                          });
  }
  return body;
}

NodeId BodyBuilder::ListBody(const ClauseList& list, std::endian order) {
  NodeId node = Always(policy_.default_action);
  for (const Clause& clause : list.clauses | std::views::reverse) {
    node = Build(clause.predicate, order, Always(clause.action), node);
  }
  return node;
}

// Recurses over the expression, whose depth the parser limits (kMaxExprDepth).
NodeId BodyBuilder::Build(const Expr& expr, std::endian order, NodeId yes, NodeId no) {
  switch (expr.kind) {
    case Expr::Kind::kConstant:
      return expr.truth ? yes : no;
    case Expr::Kind::kCompare:
      return BuildCompare(expr, WideValueOf(expr.operand, order), yes, no);
    case Expr::Kind::kIn: {
      std::vector<WideRange> ranges;
      ranges.reserve(expr.ranges.size());
      for (const Range& range : expr.ranges) ranges.push_back({range.low, range.high});
      return graph::TestInRanges(pool_, WideValueOf(expr.operand, order), expr.mask, ranges, yes,
                                 no);
    }
    case Expr::Kind::kAnd:
      for (const Expr& child : expr.children | std::views::reverse) {
        yes = Build(child, order, yes, no);
      }
      return yes;
    case Expr::Kind::kOr:
      for (const Expr& child : expr.children | std::views::reverse) {
        no = Build(child, order, yes, no);
      }
      return no;
    case Expr::Kind::kNot:
      CG_CHECK(expr.children.size() == 1);
      return Build(expr.children.front(), order, no, yes);
    case Expr::Kind::kDeep: {
      // Not for the filter. Where both ways lead to one action it does not matter; elsewhere the
      // supervisor looks.
      const std::uint32_t look = IndexOf({Verb::kLook, 0});
      return graph::Combine(pool_, yes, no, [&](std::uint32_t if_true, std::uint32_t if_false) {
        return if_true == if_false ? if_true : look;
      });
    }
  }
  CG_CHECK(false);
}

NodeId BodyBuilder::BuildCompare(const Expr& expr, const WideValue& value, NodeId yes, NodeId no) {
  // "below c" and "at most c" as one range each; the other four are these, negated, or [c, c].
  auto test = [&](WideRange range, NodeId in, NodeId out) {
    return graph::TestInRanges(pool_, value, expr.mask, {&range, 1}, in, out);
  };
  const std::uint64_t constant = expr.constant;
  const WideRange at_most = {value.Min(), constant};
  const WideRange at_least = {constant, value.Max()};
  switch (expr.op) {
    case Compare::kEqual:
      return test({constant, constant}, yes, no);
    case Compare::kNotEqual:
      return test({constant, constant}, no, yes);
    case Compare::kLess:
      return test(at_least, no, yes);
    case Compare::kLessEqual:
      return test(at_most, yes, no);
    case Compare::kGreater:
      return test(at_most, no, yes);
    case Compare::kGreaterEqual:
      return test(at_least, yes, no);
  }
  CG_CHECK(false);
}

// Numbers first..last of one AUDIT_ARCH belong to one ABI.
struct NumberBlock {
  std::uint32_t first = 0;
  abi::ArchId arch;
};

// The blocks of an AUDIT_ARCH, sorted; each ends where the next begins.
std::vector<NumberBlock> BlocksOf(abi::ArchId arch) {
  if (abi::ArchOf(arch).audit_arch != abi::ArchOf(abi::ArchId::kX86_64).audit_arch) {
    return {{0, arch}};
  }
  return {{0, abi::ArchId::kX86_64},
          {abi::kX32Bit, abi::ArchId::kX32},
          {abi::kX32Last + 1, abi::ArchId::kX86_64}};
}

class Lowerer {
 public:
  Lowerer(const TypedPolicy& policy, const LowerOptions& options)
      : policy_(policy), options_(options), bodies_(policy) {}

  graph::Graph Run();

 private:
  NodeId Finish(NodeId body, const DecidedCalls& calls);
  NodeId BadArch() { return Finish(bodies_.Always(policy_.bad_arch_action), {}); }
  NodeId NumberDispatch(abi::ArchId arch);
  void AddBlock(const NumberBlock& block, std::uint32_t last, graph::Steps& steps);
  const ArchPolicy* Find(abi::ArchId arch) const;

  const TypedPolicy& policy_;
  const LowerOptions& options_;
  BodyBuilder bodies_;
  graph::Graph graph_;
};

// Replaces the indices at a body's leaves by what the filter returns for these calls.
NodeId Lowerer::Finish(NodeId body, const DecidedCalls& calls) {
  return graph::CopyMapped(bodies_.pool(), body, graph_.pool, [&](std::uint32_t index) {
    const PolicyAction& action = bodies_.action(index);
    const abi::Action result =
        options_.filter_action ? options_.filter_action(calls, action) : KernelAction(action);
    return result.value();
  });
}

const ArchPolicy* Lowerer::Find(abi::ArchId arch) const {
  const auto found = std::ranges::find(policy_.arches, arch, &ArchPolicy::arch);
  return found == policy_.arches.end() ? nullptr : &*found;
}

// Appends what the numbers from block.first to `last` decide.
void Lowerer::AddBlock(const NumberBlock& block, std::uint32_t last, graph::Steps& steps) {
  const ArchPolicy* arch_policy = Find(block.arch);
  if (arch_policy == nullptr) {
    steps.push_back({block.first, BadArch()});
    return;
  }
  const std::endian order = abi::ArchOf(block.arch).endian;
  const NodeId unknown = Finish(bodies_.Always(policy_.unknown_action), {block.arch, {}});
  // Numbers before it are decided. 64 bits: behind -1, the largest, there is none.
  std::uint64_t next = block.first;
  auto decide = [&](std::int32_t signed_nr, NodeId body) {
    const auto nr = static_cast<std::uint32_t>(signed_nr);
    if (nr < next || nr > last) return;
    if (nr > next) steps.push_back({static_cast<std::uint32_t>(next), unknown});
    steps.push_back({nr, Finish(body, {block.arch, signed_nr})});
    next = std::uint64_t{nr} + 1;
  };

  const std::span<const abi::Syscall> table = abi::SyscallsOf(block.arch);
  auto rule = arch_policy->rules.begin();
  auto syscall = table.begin();
  while (rule != arch_policy->rules.end() || syscall != table.end()) {
    const bool rule_is_next =
        syscall == table.end() || (rule != arch_policy->rules.end() && rule->nr <= syscall->nr);
    if (rule_is_next) {
      if (syscall != table.end() && syscall->nr == rule->nr) ++syscall;
      decide(rule->nr, bodies_.BodyOf(*rule, order));
      ++rule;
      continue;
    }
    const bool too_new = policy_.as_of && syscall->since && *syscall->since > *policy_.as_of;
    decide(syscall->nr, bodies_.Always(too_new ? policy_.unknown_action : policy_.default_action));
    ++syscall;
  }
  if (next <= last) steps.push_back({static_cast<std::uint32_t>(next), unknown});
}

NodeId Lowerer::NumberDispatch(abi::ArchId arch) {
  const std::vector<NumberBlock> blocks = BlocksOf(arch);
  graph::Steps steps;
  for (std::size_t i = 0; i < blocks.size(); ++i) {
    AddBlock(blocks[i], i + 1 < blocks.size() ? blocks[i + 1].first - 1 : UINT32_MAX, steps);
  }
  return graph::RangeTree(graph_.pool, abi::kNrWord, steps);
}

graph::Graph Lowerer::Run() {
  NodeId node = BadArch();
  std::vector<std::uint32_t> done;
  std::vector<std::pair<std::uint32_t, NodeId>> arches;
  for (const ArchPolicy& arch_policy : policy_.arches) {
    const std::uint32_t audit_arch = abi::ArchOf(arch_policy.arch).audit_arch;
    if (std::ranges::find(done, audit_arch) != done.end()) continue;
    done.push_back(audit_arch);
    arches.emplace_back(audit_arch, NumberDispatch(arch_policy.arch));
  }
  for (const auto& [audit_arch, dispatch] : arches | std::views::reverse) {
    node = graph_.pool.Test({abi::kArchWord, graph::Op::kEqual, UINT32_MAX, audit_arch}, dispatch,
                            node);
  }
  graph_.root = node;
  return graph::Simplify(graph_);
}

}  // namespace

graph::Graph Lower(const TypedPolicy& policy, const LowerOptions& options) {
  return Lowerer(policy, options).Run();
}

}  // namespace callgate::policy
