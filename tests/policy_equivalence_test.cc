// Four evaluators must agree on every call: Judge, which reads the typed policy as the language is
// defined; Evaluate on its decision graph; the interpreter on the filter that the graph was
// compiled to; and Evaluate on the graph that the filter was lifted to. The first three share no
// code. And the proof of each compile, which compares the two graphs, must hold. A disagreement is
// shrunk to the smallest policy that still shows it.
//
//   CALLGATE_RANDOM_COUNT  how many random policies (default 3000)
//   CALLGATE_RANDOM_SEED   the first one's seed (default 1); each policy has the next number

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "analyse/compare.h"
#include "analyse/lift.h"
#include "bpf/interpret.h"
#include "bpf/stack.h"
#include "codegen/compile.h"
#include "graph/combine.h"
#include "policy/lower.h"
#include "testing/random_program.h"
#include "testing/random_typed_policy.h"

namespace callgate {
namespace {

using policy::Clause;
using policy::Compare;
using policy::Expr;
using policy::PolicyAction;
using policy::TypedPolicy;
using policy::Verb;

// The words of a call are in the byte order of the machine that makes it.
abi::CallWords WordsOf(const abi::Call& call) {
  const std::optional<abi::ArchId> arch = abi::ArchOfCall(call.arch, call.nr);
  return abi::WordsOf(call, arch ? abi::ArchOf(*arch).endian : std::endian::little);
}

// A policy in the forms that are compared.
class Subject {
 public:
  explicit Subject(const TypedPolicy& policy, const codegen::Options& options = {})
      : policy_(policy),
        graph_(policy::Lower(policy)),
        program_(codegen::Compile(graph_, options)) {
    if (!program_) return;
    lifted_ = analyse::Lift(*program_, graph_.pool);
    proof_ = analyse::CompareWithSource(graph_, *program_).equal;
  }

  // What disagrees on this call; empty: nothing.
  std::string Disagreement(const abi::Call& call) const {
    const std::uint32_t judged = policy::KernelAction(policy::Judge(policy_, call).action).value();
    const std::uint32_t in_graph = graph::Evaluate(graph_.pool, graph_.root, WordsOf(call));
    std::string text;
    if (in_graph != judged) text = "graph " + abi::RetValueToString(in_graph);
    // Too long to be a filter: the graph must still be right.
    if (program_) {
      const std::uint32_t filtered = bpf::Interpret(*program_, WordsOf(call));
      if (filtered != judged) text += " filter " + abi::RetValueToString(filtered);
      const std::uint32_t lifted = graph::Evaluate(graph_.pool, lifted_.root, WordsOf(call));
      if (lifted != judged) text += " lifted filter " + abi::RetValueToString(lifted);
      if (proof_ != analyse::Answer::kHolds) text += " no proof of the compile";
    } else if (program_.error().operation != "compile filter") {
      text += " compiler: " + program_.error().ToString();
    }
    if (text.empty()) return text;
    return "policy says " + abi::RetValueToString(judged) + ", but" + text;
  }

  bool compiled() const { return program_.has_value(); }

 private:
  const TypedPolicy& policy_;
  graph::Graph graph_;
  base::Result<bpf::Program> program_;
  analyse::Lifted lifted_;
  analyse::Answer proof_ = analyse::Answer::kUndecided;
};

// The smallest policy that still fails on this call, for the failure message.
std::string Report(const TypedPolicy& policy, const abi::Call& call) {
  auto fails = [&](const TypedPolicy& smaller) {
    return !Subject(smaller).Disagreement(call).empty();
  };
  const TypedPolicy smallest = testing::Shrink(policy, fails);
  return Subject(smallest).Disagreement(call) + "\n" + testing::Describe(call) + "\n" +
         testing::Describe(smallest);
}

TEST(PolicyEquivalence, RandomPoliciesOnCallsAtTheirEdges) {
  const std::uint64_t count = testing::RandomCount(3'000);
  const std::uint64_t first_seed = testing::RandomSeed();
  constexpr int kCallsPerPolicy = 200;
  const testing::RandomPolicyShape shape = testing::AnyPolicy();
  std::uint64_t compiled = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + count; ++seed) {
    testing::Random random(seed);
    const TypedPolicy policy = testing::RandomTypedPolicy(random, shape);
    const Subject subject(policy);
    compiled += subject.compiled() ? 1 : 0;
    for (int i = 0; i < kCallsPerPolicy; ++i) {
      const abi::Call call = testing::RandomCall(random, policy);
      ASSERT_EQ(subject.Disagreement(call), "") << "seed " << seed << '\n' << Report(policy, call);
    }
  }
  EXPECT_GE(compiled * 100, count * 95) << "too many policies did not fit into a filter";
}

// ---- The same with other options of the compiler -----------------------------------------------

// Some passes left out, or a profile, or both.
struct RandomOptions {
  std::vector<std::string> without;
  std::vector<codegen::CallCount> profile;

  RandomOptions(testing::Random& random, const TypedPolicy& policy) {
    for (const codegen::Pass& pass : codegen::AllPasses()) {
      if (random() % 3 == 0) without.emplace_back(pass.name);
    }
    while (random() % 4 != 0) {
      const abi::Call call = testing::RandomCall(random, policy);
      profile.push_back({call.arch, call.nr, random() >> random() % 64});
    }
  }

  codegen::Options options() const {
    codegen::Options options;
    options.profile = profile;
    options.without = without;
    return options;
  }
};

TEST(PolicyEquivalence, AnyPassesAndProfiles) {
  const std::uint64_t count = testing::RandomCount(3'000) / 3;
  const std::uint64_t first_seed = testing::RandomSeed();
  const testing::RandomPolicyShape shape = testing::AnyPolicy();
  for (std::uint64_t seed = first_seed; seed < first_seed + count; ++seed) {
    testing::Random random(seed);
    const TypedPolicy policy = testing::RandomTypedPolicy(random, shape);
    const RandomOptions chosen(random, policy);
    const Subject subject(policy, chosen.options());
    for (int i = 0; i < 100; ++i) {
      const abi::Call call = testing::RandomCall(random, policy);
      ASSERT_EQ(subject.Disagreement(call), "")
          << "seed " << seed << ", without " << ::testing::PrintToString(chosen.without) << '\n'
          << testing::Describe(call) << '\n'
          << testing::Describe(policy);
    }
  }
}

TEST(PolicyEquivalence, FusedLayersAreAsStrictAsTheStack) {
  const std::uint64_t count = testing::RandomCount(3'000) / 10;
  const std::uint64_t first_seed = testing::RandomSeed();
  testing::RandomPolicyShape shape = testing::AnyPolicy();
  shape.max_rules = 12;
  for (std::uint64_t seed = first_seed; seed < first_seed + count; ++seed) {
    testing::Random random(seed);
    std::vector<TypedPolicy> layers(2 + random() % 3);
    std::vector<bpf::Program> stack;
    graph::Graph all;
    for (std::size_t i = 0; i < layers.size(); ++i) {
      layers[i] = testing::RandomTypedPolicy(random, shape);
      const graph::Graph layer = policy::Lower(layers[i]);
      const auto program = codegen::Compile(layer);
      ASSERT_TRUE(program.has_value());
      stack.push_back(*program);
      all = i == 0 ? layer : graph::StrictestOf(all, layer);
    }
    const auto fused = codegen::Compile(all);
    if (!fused) continue;  // too long for one filter
    const std::vector<bpf::ProgramView> views(stack.begin(), stack.end());
    for (int i = 0; i < 200; ++i) {
      const abi::CallWords words =
          WordsOf(testing::RandomCall(random, layers[random() % layers.size()]));
      ASSERT_EQ(bpf::Interpret(*fused, words), bpf::InterpretStack(views, words).ret_value)
          << "seed " << seed;
    }
  }
}

// ---- Every small policy ------------------------------------------------------------------------

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

TEST(PolicyEquivalence, EverySingleComparisonOnBothByteOrders) {
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
TEST(PolicyEquivalence, EveryPairOfClausesOnOneAndOnTwoArguments) {
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
TEST(PolicyEquivalence, EveryPairOfRestrictingListsOnOneArgument) {
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

}  // namespace
}  // namespace callgate
