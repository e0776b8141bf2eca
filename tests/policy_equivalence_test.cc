// All evaluators agree (equivalence.h) on random policies, whatever passes are left out, with
// profiles, and on fused layers.
//
//   CALLGATE_RANDOM_COUNT  how many random policies (default 3000)
//   CALLGATE_RANDOM_SEED   the first one's seed (default 1); each policy has the next number

#include <gtest/gtest.h>

#include <functional>
#include <optional>
#include <string>

#include "bpf/stack.h"
#include "codegen/compile.h"
#include "graph/combine.h"
#include "policy/lower.h"
#include "testing/random_program.h"
#include "testing/random_typed_policy.h"
#include "tests/equivalence.h"

namespace callgate {
namespace {

using policy::TypedPolicy;

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

}  // namespace
}  // namespace callgate
