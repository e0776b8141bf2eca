// All evaluators agree (equivalence.h) on every policy of one or two clauses over one or two
// arguments, with constants and values on both sides of every edge that halves and signs have.
// Of three clauses there are too many for every day: of those, CALLGATE_RANDOM_COUNT (default
// 3000), evenly spread; as many as there are or more: all.

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <initializer_list>
#include <set>
#include <vector>

#include "testing/random_program.h"
#include "tests/equivalence.h"

namespace callgate {
namespace {

using policy::Clause;
using policy::Compare;
using policy::Expr;
using policy::PolicyAction;
using policy::TypedPolicy;
using policy::Verb;

constexpr std::uint64_t kSmallConstants[] = {0,          1,           0x7fffffff, 0x80000000,
                                             0xffffffff, 0x100000000, UINT64_MAX};

struct SmallType {
  std::uint8_t bits;
  bool is_signed;
};
constexpr SmallType kSmallTypes[] = {{32, false}, {32, true}, {64, false}, {64, true}};

// Every comparison of one argument with a constant that its type can have.
std::vector<Expr> SmallComparisons(std::uint8_t slot) {
  std::vector<Expr> all;
  for (const SmallType& type : kSmallTypes) {
    for (const std::uint64_t constant : kSmallConstants) {
      Expr expr;
      expr.kind = Expr::Kind::kCompare;
      expr.operand.slot = slot;
      expr.operand.bits = type.bits;
      expr.operand.is_signed = type.is_signed;
      const int unused = 64 - type.bits;
      expr.constant =
          type.is_signed
              ? static_cast<std::uint64_t>(static_cast<std::int64_t>(constant << unused) >> unused)
              : constant << unused >> unused;
      for (int op = 0; op < 6; ++op) {
        expr.op = static_cast<Compare>(op);
        all.push_back(expr);
      }
    }
  }
  return all;
}

std::vector<abi::Call> SmallCalls(std::uint32_t audit_arch) {
  std::vector<abi::Call> calls;
  constexpr std::uint64_t kValues[] = {
      0, 1, 2, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0xffffffff00000001, UINT64_MAX};
  for (const std::uint64_t first : kValues) {
    for (const std::uint64_t second : kValues) {
      abi::Call call;
      call.nr = 1;
      call.arch = audit_arch;
      call.args[0] = first;
      call.args[1] = second;
      calls.push_back(call);
    }
  }
  return calls;
}

TypedPolicy OneRulePolicy(abi::ArchId arch, std::vector<Clause> clauses) {
  TypedPolicy policy;
  policy.default_action = {Verb::kErrno, 1};
  policy.unknown_action = policy.default_action;
  policy.bad_arch_action = policy.default_action;
  policy.arches = {
      {.arch = arch,
       .rules = {
           {.syscall = "write", .nr = 1, .lists = {{.clauses = std::move(clauses), .span = {}}}}}}};
  return policy;
}

void ExpectAgreement(const TypedPolicy& policy, const std::vector<abi::Call>& calls) {
  const Subject subject(policy);
  ASSERT_TRUE(subject.compiled());
  for (const abi::Call& call : calls) {
    ASSERT_EQ(subject.Disagreement(call), "") << Report(policy, call);
  }
}

Clause Then(const Expr& predicate, PolicyAction action) {
  return {.predicate = predicate, .action = action, .span = {}};
}

TEST(SmallPolicies, EverySingleComparisonOnBothByteOrders) {
  for (const abi::ArchId arch : {abi::ArchId::kX86_64, abi::ArchId::kS390x}) {
    const std::vector<abi::Call> calls = SmallCalls(abi::ArchOf(arch).audit_arch);
    for (const Expr& expr : SmallComparisons(0)) {
      ExpectAgreement(OneRulePolicy(arch, {Then(expr, {Verb::kAllow, 0})}), calls);
      if (HasFatalFailure()) return;
    }
  }
}

// Two clauses with actions of their own: the second must be judged only where the first did not
// match, on the same argument and on another one.
TEST(SmallPolicies, EveryPairOfClausesOnOneAndOnTwoArguments) {
  const std::vector<abi::Call> calls = SmallCalls(abi::ArchOf(abi::ArchId::kX86_64).audit_arch);
  for (const std::uint8_t second_slot : std::initializer_list<std::uint8_t>{0, 1}) {
    const std::vector<Expr> seconds = SmallComparisons(second_slot);
    for (const Expr& first : SmallComparisons(0)) {
      for (const Expr& second : seconds) {
        ExpectAgreement(OneRulePolicy(abi::ArchId::kX86_64, {Then(first, {Verb::kAllow, 0}),
                                                             Then(second, {Verb::kErrno, 2})}),
                        calls);
        if (HasFatalFailure()) return;
      }
    }
  }
}

// What `restrict` builds: two lists, the strictest wins.
TEST(SmallPolicies, EveryPairOfRestrictingListsOnOneArgument) {
  const std::vector<abi::Call> calls = SmallCalls(abi::ArchOf(abi::ArchId::kX86_64).audit_arch);
  const std::vector<Expr> all = SmallComparisons(0);
  for (const Expr& first : all) {
    for (const Expr& second : all) {
      TypedPolicy policy = OneRulePolicy(abi::ArchId::kX86_64, {Then(first, {Verb::kAllow, 0})});
      policy.arches[0].rules[0].lists.push_back(
          {.clauses = {Then(second, {Verb::kTrace, 3})}, .span = {}});
      ExpectAgreement(policy, calls);
      if (HasFatalFailure()) return;
    }
  }
}

// One comparison for each set of values that comparisons of this argument pick.
std::vector<Expr> DistinctComparisons(std::uint8_t slot, const std::vector<abi::Call>& calls) {
  std::set<std::vector<bool>> seen;
  std::vector<Expr> distinct;
  for (const Expr& expr : SmallComparisons(slot)) {
    const TypedPolicy policy = OneRulePolicy(abi::ArchId::kX86_64, {Then(expr, {Verb::kAllow, 0})});
    std::vector<bool> picked;
    for (const abi::Call& call : calls) {
      picked.push_back(policy::Judge(policy, call).action.verb == Verb::kAllow);
    }
    if (seen.insert(picked).second) distinct.push_back(expr);
  }
  return distinct;
}

TEST(SmallPolicies, TriplesOfClausesOnTwoArguments) {
  const std::vector<abi::Call> calls = SmallCalls(abi::ArchOf(abi::ArchId::kX86_64).audit_arch);
  const std::vector<Expr> firsts = DistinctComparisons(0, calls);
  std::vector<Expr> others = firsts;
  std::ranges::copy(DistinctComparisons(1, calls), std::back_inserter(others));
  const std::uint64_t total = firsts.size() * others.size() * others.size();
  const std::uint64_t count = std::min(total, testing::RandomCount(3'000));
  fmt::print("{} of {} policies\n", count, total);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t chosen = i * total / count;
    ExpectAgreement(
        OneRulePolicy(abi::ArchId::kX86_64,
                      {Then(firsts[chosen % firsts.size()], {Verb::kAllow, 0}),
                       Then(others[chosen / firsts.size() % others.size()], {Verb::kErrno, 2}),
                       Then(others[chosen / firsts.size() / others.size()], {Verb::kTrace, 3})}),
        calls);
    if (HasFatalFailure()) return;
  }
}

// ---- Edges of actions --------------------------------------------------------------------------

TEST(SmallPolicies, DataOfActionsIsCarriedToTheLastBit) {
  const std::vector<abi::Call> calls = SmallCalls(abi::ArchOf(abi::ArchId::kX86_64).audit_arch);
  const Expr one = SmallComparisons(0).front();
  for (const Verb verb : {Verb::kErrno, Verb::kTrap, Verb::kTrace}) {
    for (const std::int64_t data : {0, 1, 4095, 4096, 65535}) {
      if (verb == Verb::kErrno && data > 4095) continue;  // no errno
      ExpectAgreement(OneRulePolicy(abi::ArchId::kX86_64, {Then(one, {verb, data})}), calls);
      if (HasFatalFailure()) return;
    }
  }
}

TEST(SmallPolicies, RulesThatSayTheSameTwiceOrCanNeverMatch) {
  const std::vector<abi::Call> calls = SmallCalls(abi::ArchOf(abi::ArchId::kX86_64).audit_arch);
  for (const Expr& expr : SmallComparisons(0)) {
    const Clause clause = Then(expr, {Verb::kAllow, 0});
    ExpectAgreement(OneRulePolicy(abi::ArchId::kX86_64,
                                  {clause, clause, Then(expr, {Verb::kErrno, 2}), clause}),
                    calls);
    if (HasFatalFailure()) return;
  }
}

}  // namespace
}  // namespace callgate
