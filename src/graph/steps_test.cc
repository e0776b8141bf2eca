#include "graph/steps.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>

#include "graph/reach.h"

namespace callgate::graph {
namespace {

constexpr std::uint32_t kWhole = UINT32_MAX;
constexpr std::uint8_t kWord = abi::kNrWord;

std::size_t CountTests(const Pool& pool, NodeId root) {
  const std::vector<NodeId> nodes = ReachableFrom(pool, root);
  return std::ranges::count_if(nodes, [&](NodeId id) { return !pool[id].is_leaf; });
}

// Leaves 0..count-1 have the ids 0..count-1.
Pool PoolWithLeaves(std::uint32_t count) {
  Pool pool;
  for (std::uint32_t value = 0; value < count; ++value) pool.Leaf(value);
  return pool;
}

Steps RandomSteps(std::mt19937_64& random, std::uint32_t leaves, std::size_t count) {
  std::set<std::uint32_t> firsts = {0};
  const std::uint32_t spread = random() % 3 == 0 ? kWhole : static_cast<std::uint32_t>(2 * count);
  while (firsts.size() < count) firsts.insert(static_cast<std::uint32_t>(random() % spread));
  Steps steps;
  for (const std::uint32_t first : firsts) {
    auto node = static_cast<NodeId>(random() % leaves);
    if (!steps.empty() && steps.back().node == node) node = (node + 1) % leaves;
    steps.push_back({first, node});
  }
  return steps;
}

TEST(SearchTree, StepsReadBackFromTheTreeAreTheSame) {
  std::mt19937_64 random(7);
  for (int round = 0; round < 2'000; ++round) {
    Pool pool = PoolWithLeaves(5);
    const std::size_t count = 1 + random() % (round % 100 == 0 ? 2'000 : 30);
    const Steps steps = RandomSteps(random, 2 + random() % 4, count);
    const NodeId tree = SearchTree(pool, kWord, kWhole, steps);
    ASSERT_EQ(StepsOf(pool, tree, kWord), steps) << "round " << round;
  }
}

TEST(SearchTree, MaskedWordsAreSearchedByTheValuesTheyCanHave) {
  std::mt19937_64 random(8);
  for (int round = 0; round < 2'000; ++round) {
    const auto mask = static_cast<std::uint32_t>(random() % 256);
    Pool pool = PoolWithLeaves(4);
    const Steps steps = RandomSteps(random, 4, 1 + random() % 40);
    const NodeId tree = SearchTree(pool, kWord, mask, steps);
    for (std::uint32_t value = 0; value < 256; ++value) {
      abi::CallWords words{};
      words[kWord] = value;
      const auto after = std::ranges::upper_bound(steps, value & mask, {}, &Step::first);
      ASSERT_EQ(Evaluate(pool, tree, words), std::prev(after)->node)
          << "round " << round << ": " << value << " & " << mask;
    }
  }
}

// The fewest tests over all trees of >= and ==: a list is one range, or split in two, or a single
// value is cut out and its neighbours may merge. Tries everything.
std::size_t FewestTests(const Steps& steps, std::uint32_t last_value,
                        std::map<std::vector<std::uint32_t>, std::size_t>& known) {
  if (steps.size() == 1) return 0;
  std::vector<std::uint32_t> key = {last_value};
  for (const Step& step : steps) key.insert(key.end(), {step.first, step.node});
  if (const auto found = known.find(key); found != known.end()) return found->second;
  std::size_t best = SIZE_MAX;
  for (std::size_t i = 1; i < steps.size(); ++i) {
    const auto middle = steps.begin() + static_cast<std::ptrdiff_t>(i);
    const Steps left(steps.begin(), middle);
    const Steps right(middle, steps.end());
    best = std::min(best, 1 + FewestTests(left, steps[i].first - 1, known) +
                              FewestTests(right, last_value, known));
  }
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::uint32_t last = i + 1 < steps.size() ? steps[i + 1].first - 1 : last_value;
    if (last != steps[i].first || i == 0 || i + 1 == steps.size()) continue;
    if (steps[i - 1].node != steps[i + 1].node) continue;
    Steps merged = steps;
    const auto single = merged.begin() + static_cast<std::ptrdiff_t>(i);
    merged.erase(single, single + 2);
    best = std::min(best, 1 + FewestTests(merged, last_value, known));
  }
  return known[key] = best;
}

TEST(SearchTree, NoTreeOfSmallListsHasFewerTests) {
  std::mt19937_64 random(9);
  for (int round = 0; round < 400; ++round) {
    // Distinct inner nodes as targets would share nothing; leaves share nothing either.
    Pool pool = PoolWithLeaves(3);
    const Steps steps = RandomSteps(random, 2 + random() % 2, 1 + random() % 9);
    const NodeId tree = SearchTree(pool, kWord, kWhole, steps);
    std::map<std::vector<std::uint32_t>, std::size_t> known;
    // Long chains may be split at the price of a test; lists this short are not worth it.
    ASSERT_LE(CountTests(pool, tree), FewestTests(steps, kWhole, known)) << "round " << round;
  }
}

TEST(SearchTree, CutsASingleValueOutOfARange) {
  Pool pool = PoolWithLeaves(3);
  const Steps steps = {{0, 0}, {6, 1}, {7, 0}, {91, 2}};
  EXPECT_EQ(CountTests(pool, SearchTree(pool, kWord, kWhole, steps)), 2);
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

TEST(StepsOf, StopsAtTestsOfOtherWordsAndOfMaskedParts) {
  Pool pool = PoolWithLeaves(2);
  const NodeId masked = pool.Test({kWord, Op::kEqual, 0x18, 0x18}, 0, 1);
  const NodeId other = pool.Test({kWord + 1, Op::kEqual, kWhole, 0}, 0, 1);
  const NodeId root = pool.Test({kWord, Op::kAtLeast, kWhole, 10}, masked, other);
  EXPECT_EQ(StepsOf(pool, root, kWord), (Steps{{0, other}, {10, masked}}));
}

}  // namespace
}  // namespace callgate::graph
