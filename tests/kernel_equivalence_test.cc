// The running kernel is the last word: random policies are compiled, the filters installed in
// children, and calls made whose verdicts the kernel reads back. They must be what Judge says.
//
//   CALLGATE_RANDOM_COUNT  how many random policies (default 500)
//   CALLGATE_RANDOM_SEED   the first one's seed (default 1); each policy has the next number

#include <gtest/gtest.h>

#include <vector>

#include "codegen/compile.h"
#include "policy/lower.h"
#include "testing/kernel_oracle.h"
#include "testing/random_program.h"
#include "testing/random_typed_policy.h"

namespace callgate {
namespace {

// Policies for what this machine can call.
testing::RandomPolicyShape NativePolicy() {
  testing::RandomPolicyShape shape = testing::AnyPolicy();
  shape.arch_sets = {{abi::ArchId::kX86_64},
                     {abi::ArchId::kX86_64, abi::ArchId::kI386},
                     {abi::ArchId::kX86_64, abi::ArchId::kI386, abi::ArchId::kX32},
                     {abi::ArchId::kX32},
                     {abi::ArchId::kI386}};
  return shape;
}

TEST(KernelEquivalence, KernelDecidesRandomPoliciesAsJudgeDoes) {
  const std::uint64_t count = testing::RandomCount(500);
  const std::uint64_t first_seed = testing::RandomSeed();
  constexpr int kCallsPerPolicy = 40;
  const testing::RandomPolicyShape shape = NativePolicy();
  std::uint64_t calls_made = 0;
  for (std::uint64_t seed = first_seed; seed < first_seed + count; ++seed) {
    testing::Random random(seed);
    const policy::TypedPolicy policy = testing::RandomTypedPolicy(random, shape);
    const base::Result<bpf::Program> program = codegen::Compile(policy::Lower(policy));
    if (!program) continue;  // longer than a filter can be: nothing to install
    std::vector<abi::Call> calls;
    for (int i = 0; i < kCallsPerPolicy; ++i) {
      const abi::Call call = testing::RandomCall(random, policy);
      if (testing::CanIssue(call)) calls.push_back(testing::AsIssued(call));
    }
    const auto verdicts = testing::KernelVerdicts(*program, calls);
    ASSERT_TRUE(verdicts.has_value()) << "seed " << seed << ": " << verdicts.error().ToString();
    ASSERT_EQ(verdicts->size(), calls.size());
    for (std::size_t i = 0; i < calls.size(); ++i) {
      const abi::Action judged = policy::KernelAction(policy::Judge(policy, calls[i]).action);
      ASSERT_EQ(abi::RetValueToString((*verdicts)[i]), abi::ToString(judged))
          << "seed " << seed << ", " << testing::Describe(calls[i]) << '\n'
          << testing::Describe(policy);
    }
    calls_made += calls.size();
  }
  EXPECT_GE(calls_made, count * kCallsPerPolicy / 2) << "too few calls can be made here";
}

}  // namespace
}  // namespace callgate
