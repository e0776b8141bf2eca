#include "graph/combine.h"

#include <gtest/gtest.h>

#include <random>

#include "abi/arch.h"
#include "graph/reach.h"
#include "graph/search_tree.h"
#include "graph/simplify.h"
#include "graph/steps.h"

namespace callgate::graph {
namespace {

constexpr std::uint32_t kWhole = UINT32_MAX;

abi::Action Errno(std::uint16_t data) { return {abi::ActionKind::kErrno, data}; }

TEST(StrictestValue, LowestSignedActionWinsAndTiesGoToTheNewer) {
  const std::uint32_t kill = abi::kKillProcess.value();
  const std::uint32_t allow = abi::kAllow.value();
  const std::uint32_t kill_thread = 0;
  EXPECT_EQ(StrictestValue(kill, kill_thread), kill);
  EXPECT_EQ(StrictestValue(kill_thread, kill), kill);
  EXPECT_EQ(StrictestValue(allow, Errno(1).value()), Errno(1).value());
  EXPECT_EQ(StrictestValue(Errno(1).value(), Errno(2).value()), Errno(2).value());
  EXPECT_EQ(StrictestValue(Errno(2).value(), Errno(1).value()), Errno(1).value());
  EXPECT_EQ(StrictestValue(0x7fff1234, 0x12345678), 0x12345678) << "unknown values rank by number";
}

// Dispatches on two ABIs and a few numbers to small bodies on one argument.
Graph RandomLayer(std::mt19937_64& random) {
  Graph graph;
  Pool& pool = graph.pool;
  auto leaf = [&] {
    constexpr abi::ActionKind kKinds[] = {abi::ActionKind::kAllow, abi::ActionKind::kErrno,
                                          abi::ActionKind::kKillProcess, abi::ActionKind::kTrap};
    return pool.Leaf(abi::Action{kKinds[random() % 4], static_cast<std::uint16_t>(random() % 3)});
  };
  auto body = [&] {
    NodeId node = leaf();
    for (std::size_t i = 0; i < random() % 4; ++i) {
      node = pool.Test(
          {4, static_cast<Op>(random() % 3), kWhole, static_cast<std::uint32_t>(random() % 4)},
          leaf(), node);
    }
    return node;
  };
  auto dispatch = [&] {
    Steps steps;
    for (std::uint32_t nr = 0; nr < 12; nr += static_cast<std::uint32_t>(1 + random() % 3))
      steps.push_back({nr, body()});
    return SearchTree(pool, abi::kNrWord, kWhole, steps);
  };
  graph.root = pool.Test({abi::kArchWord, Op::kEqual, kWhole, 7}, dispatch(),
                         random() % 2 == 0 ? dispatch() : leaf());
  return graph;
}

TEST(StrictestOf, IsTheStrictestOfBothOnEveryCall) {
  std::mt19937_64 random(5);
  for (int round = 0; round < 300; ++round) {
    const Graph older = RandomLayer(random);
    const Graph newer = RandomLayer(random);
    const Graph both = StrictestOf(older, newer);
    abi::CallWords words{};
    for (const std::uint32_t arch : {7U, 8U}) {
      for (std::uint32_t nr = 0; nr < 14; ++nr) {
        for (std::uint32_t arg = 0; arg < 6; ++arg) {
          words[abi::kArchWord] = arch;
          words[abi::kNrWord] = nr;
          words[4] = arg;
          ASSERT_EQ(Evaluate(both.pool, both.root, words),
                    StrictestValue(Evaluate(older.pool, older.root, words),
                                   Evaluate(newer.pool, newer.root, words)))
              << "round " << round << " nr " << nr << " arg " << arg;
        }
      }
    }
  }
}

TEST(StrictestOf, StackOfSixteenEqualLayersIsOneLayer) {
  std::mt19937_64 random(6);
  const Graph layer = RandomLayer(random);
  Graph stack = Simplify(layer);
  for (int i = 1; i < 16; ++i) stack = Simplify(StrictestOf(stack, layer));
  const Graph once = Simplify(StrictestOf(layer, layer));
  EXPECT_EQ(ReachableFrom(stack.pool, stack.root).size(),
            ReachableFrom(once.pool, once.root).size());
}

TEST(CopyMapped, LeavesThatBecomeEqualMakeTheirTestGo) {
  Pool pool;
  const NodeId root = pool.Test({4, Op::kEqual, kWhole, 1}, pool.Leaf(1), pool.Leaf(2));
  Pool target;
  const NodeId copy = CopyMapped(pool, root, target, [](std::uint32_t) { return 9; });
  EXPECT_TRUE(target[copy].is_leaf);
  EXPECT_EQ(target[copy].ret_value, 9);
}

}  // namespace
}  // namespace callgate::graph
