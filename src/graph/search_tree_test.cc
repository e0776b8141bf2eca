#include "graph/search_tree.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <random>
#include <set>
#include <string>

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

std::vector<std::uint64_t> RandomWeights(std::mt19937_64& random, std::size_t count) {
  std::vector<std::uint64_t> weights(count);
  for (std::uint64_t& weight : weights) {
    weight = random() % 8 == 0 ? 1 + random() % 10'000 : 1 + random() % 20;
  }
  return weights;
}

// The tests on the way of each value at which a step begins.
std::vector<std::uint64_t> PathLengths(const Pool& pool, NodeId root, const Steps& steps) {
  std::vector<std::uint64_t> lengths;
  for (const Step& step : steps) {
    abi::CallWords words{};
    words[kWord] = step.first;
    std::uint64_t length = 0;
    for (NodeId id = root; !pool[id].is_leaf; ++length) {
      id = pool[id].predicate.Holds(words) ? pool[id].yes : pool[id].no;
    }
    lengths.push_back(length);
  }
  return lengths;
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

std::string Describe(const Steps& steps) {
  std::string text;
  for (const Step& step : steps) text += fmt::format("{}:{} ", step.first, step.node);
  return text;
}

TEST(SearchTree, NoTreeOfSmallListsHasFewerTests) {
  std::mt19937_64 random(9);
  for (int round = 0; round < 400; ++round) {
    // Distinct inner nodes as targets would share nothing; leaves share nothing either.
    Pool pool = PoolWithLeaves(3);
    const Steps steps = RandomSteps(random, 2 + random() % 2, 1 + random() % 9);
    // So dear that no path is worth a test.
    const NodeId tree = SearchTree(pool, kWord, kWhole, steps, {{}, 64 * 64});
    std::map<std::vector<std::uint32_t>, std::size_t> known;
    ASSERT_LE(CountTests(pool, tree), FewestTests(steps, kWhole, known))
        << "round " << round << ": " << Describe(steps);
  }
}

TEST(SearchTree, CutsASingleValueOutOfARange) {
  Pool pool = PoolWithLeaves(3);
  const Steps steps = {{0, 0}, {6, 1}, {7, 0}, {91, 2}};
  EXPECT_EQ(CountTests(pool, SearchTree(pool, kWord, kWhole, steps)), 2);
}

TEST(SearchTree, WeightsAndPricesChangeNoDecision) {
  std::mt19937_64 random(17);
  for (int round = 0; round < 2'000; ++round) {
    Pool pool = PoolWithLeaves(5);
    const Steps steps = RandomSteps(random, 2 + random() % 4, 1 + random() % 150);
    const std::vector<std::uint64_t> weights = RandomWeights(random, steps.size());
    const auto price = static_cast<std::uint32_t>(random() % 200);
    const NodeId tree = SearchTree(pool, kWord, kWhole, steps, {weights, price});
    ASSERT_EQ(StepsOf(pool, tree, kWord), steps) << "round " << round;
  }
}

TEST(SearchTree, ValueThatIsLookedForMostIsAskedForFirst) {
  Pool pool = PoolWithLeaves(3);
  const Steps steps = {{0, 0}, {10, 1}, {20, 0}, {30, 1}, {40, 0}, {41, 2}, {42, 0}, {50, 1}};
  const std::vector<std::uint64_t> weights = {1, 1, 1, 1, 1, 1'000, 1, 1};
  const NodeId tree = SearchTree(pool, kWord, kWhole, steps, {weights, 5});
  EXPECT_EQ(pool[tree].predicate, (Predicate{kWord, Op::kEqual, kWhole, 41}));
  EXPECT_EQ(StepsOf(pool, tree, kWord), steps);
}

TEST(SearchTree, LongListIsSearchedInLogarithmicTime) {
  Pool pool = PoolWithLeaves(2);
  Steps steps;
  for (std::uint32_t i = 0; i < 1'000; ++i) steps.push_back({10 * i, i % 2});
  const NodeId tree = SearchTree(pool, kWord, kWhole, steps);
  const std::vector<std::uint64_t> lengths = PathLengths(pool, tree, steps);
  EXPECT_LE(std::ranges::max(lengths), 12);
}

TEST(RangeTree, StepsReadBackFromTheTreeAreTheSame) {
  std::mt19937_64 random(18);
  for (int round = 0; round < 300; ++round) {
    Pool pool = PoolWithLeaves(5);
    const Steps steps = RandomSteps(random, 4, 1 + random() % 300);
    ASSERT_EQ(StepsOf(pool, RangeTree(pool, kWord, steps), kWord), steps) << "round " << round;
  }
}

}  // namespace
}  // namespace callgate::graph
