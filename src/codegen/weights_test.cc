#include "codegen/weights.h"

#include <gtest/gtest.h>

namespace callgate::codegen {
namespace {

using graph::NodeId;
using graph::Steps;

constexpr std::uint32_t kX86 = 0xc000003e;

struct Targets {
  graph::Pool pool;
  NodeId allow = pool.Leaf(abi::kAllow);
  NodeId deny = pool.Leaf(abi::Action{abi::ActionKind::kErrno, 1});
  NodeId argument = pool.Test({4, graph::Op::kEqual, UINT32_MAX, 3}, allow, deny);
};

TEST(CallWeights, CallDecidedByItsArgumentsOutweighsOneThatIsCached) {
  const Targets t;
  const Steps steps = {{0, t.allow}, {1, t.argument}, {2, t.deny}};
  const auto weights = CallWeights().Of(t.pool, steps, kX86);
  EXPECT_EQ(weights[1], 16 * weights[0]);
}

TEST(CallWeights, LocksAndMemoryOutweighOtherCallsDecidedByTheirArguments) {
  const Targets t;
  const Steps steps = {
      {0, t.allow}, {9, t.argument}, {11, t.allow}, {41, t.argument}, {42, t.deny}};
  const auto weights = CallWeights().Of(t.pool, steps, kX86);
  EXPECT_EQ(weights[1], 16 * weights[3]);  // mmap and mprotect against socket
  const auto elsewhere = CallWeights().Of(t.pool, steps, std::nullopt);
  EXPECT_EQ(elsewhere[1], 2 * elsewhere[3]);
}

TEST(CallWeights, NumbersThatNobodyHasGivenOutWeighAsOne) {
  const Targets t;
  const Steps steps = {{0, t.allow}, {1, t.deny}, {2, t.allow}, {100'000, t.deny}};
  const auto weights = CallWeights().Of(t.pool, steps, kX86);
  EXPECT_EQ(weights[3], weights[0]);
  EXPECT_GT(weights[2], 400 * weights[0]);
}

TEST(CallWeights, ProfileCountsOnlyCallsThatRunTheFilter) {
  const Targets t;
  const Steps steps = {{0, t.allow}, {1, t.argument}, {2, t.deny}};
  const std::vector<CallCount> profile = {{kX86, 0, 1'000'000}, {kX86, 1, 1'000'000}};
  const auto plain = CallWeights().Of(t.pool, steps, kX86);
  const auto weights = CallWeights(profile).Of(t.pool, steps, kX86);
  EXPECT_EQ(weights[0], plain[0]);
  EXPECT_GT(weights[1], 100 * plain[1]);
}

TEST(CallWeights, ProfileOfHugeOrNoCountsIsTaken) {
  const Targets t;
  const Steps steps = {{0, t.allow}, {1, t.argument}};
  const std::vector<CallCount> none = {{kX86, 1, 0}};
  const std::vector<CallCount> huge = {{kX86, 1, UINT64_MAX}, {kX86, 2, UINT64_MAX}};
  EXPECT_EQ(CallWeights(none).Of(t.pool, steps, kX86), CallWeights().Of(t.pool, steps, kX86));
  EXPECT_GT(CallWeights(huge).Of(t.pool, steps, kX86)[1], 0);
}

}  // namespace
}  // namespace callgate::codegen
