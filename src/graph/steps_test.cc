#include "graph/steps.h"

#include <gtest/gtest.h>

namespace callgate::graph {
namespace {

constexpr std::uint32_t kWhole = UINT32_MAX;
constexpr std::uint8_t kWord = abi::kNrWord;

// Leaves 0..count-1 have the ids 0..count-1.
Pool PoolWithLeaves(std::uint32_t count) {
  Pool pool;
  for (std::uint32_t value = 0; value < count; ++value) pool.Leaf(value);
  return pool;
}

TEST(StepsOf, FollowsAChainOfAHundredThousandTests) {
  Pool pool = PoolWithLeaves(2);
  NodeId chain = 0;
  for (std::uint32_t value = 100'000; value-- > 0;) {
    chain = pool.Test({kWord, Op::kEqual, kWhole, 2 * value + 1}, 1, chain);
  }
  const Steps steps = StepsOf(pool, chain, kWord);
  EXPECT_EQ(steps.size(), 200'001);
  EXPECT_EQ(steps[1], (Step{1, 1}));
  EXPECT_EQ(steps.back(), (Step{200'000, 0}));
}

TEST(StepsOf, TwoWaysToOneTestAreOneSetOfValues) {
  Pool pool = PoolWithLeaves(3);
  const NodeId shared = pool.Test({kWord, Op::kEqual, kWhole, 7}, 1, 0);
  const NodeId high = pool.Test({kWord, Op::kEqual, kWhole, 90}, 2, shared);
  const NodeId root = pool.Test({kWord, Op::kAtLeast, kWhole, 50}, high, shared);
  EXPECT_EQ(StepsOf(pool, root, kWord), (Steps{{0, 0}, {7, 1}, {8, 0}, {90, 2}, {91, 0}}));
}

TEST(StepsOf, StopsAtTestsOfOtherWordsAndOfMaskedParts) {
  Pool pool = PoolWithLeaves(2);
  const NodeId masked = pool.Test({kWord, Op::kEqual, 0x18, 0x18}, 0, 1);
  const NodeId other = pool.Test({kWord + 1, Op::kEqual, kWhole, 0}, 0, 1);
  const NodeId root = pool.Test({kWord, Op::kAtLeast, kWhole, 10}, masked, other);
  EXPECT_EQ(StepsOf(pool, root, kWord), (Steps{{0, other}, {10, masked}}));
}

}  // namespace
}  // namespace callgate::graph
