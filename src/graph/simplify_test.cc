#include "graph/simplify.h"

#include <gtest/gtest.h>

#include <random>

#include "graph/dump.h"
#include "graph/reach.h"

namespace callgate::graph {
namespace {

constexpr std::uint32_t kWhole = UINT32_MAX;
constexpr std::uint8_t kLow = 4;
constexpr std::uint8_t kHigh = 5;

std::string Simplified(const Graph& graph) {
  return DumpText(Simplify(graph), std::endian::little);
}

TEST(Simplify, AlternativesOnOneWideArgumentShareTheHighWord) {
  Graph graph;
  const NodeId yes = graph.pool.Leaf(abi::kAllow);
  const NodeId no = graph.pool.Leaf(abi::kKillProcess);
  auto is = [&](std::uint32_t value, NodeId otherwise) {
    const NodeId low = graph.pool.Test({kLow, Op::kEqual, kWhole, value}, yes, otherwise);
    return graph.pool.Test({kHigh, Op::kEqual, kWhole, 0}, low, otherwise);
  };
  graph.root = is(1, is(2, no));
  EXPECT_EQ(Simplified(graph),
            "n4  arg0.high == 0x0 ? n3 : n1\n"
            "n3  arg0.low == 0x1 ? n0 : n2\n"
            "n2  arg0.low == 0x2 ? n0 : n1\n"
            "n1  kill\n"
            "n0  allow\n");
}

TEST(Simplify, TestThatEveryPathHasAskedIsDropped) {
  Graph graph;
  Pool& pool = graph.pool;
  const NodeId yes = pool.Leaf(abi::kAllow);
  const NodeId no = pool.Leaf(abi::kKillProcess);
  const NodeId again = pool.Test({kLow, Op::kAtLeast, kWhole, 10}, yes, no);
  const NodeId middle = pool.Test({kHigh, Op::kEqual, kWhole, 3}, again, no);
  graph.root = pool.Test({kLow, Op::kAtLeast, kWhole, 20}, middle, no);
  EXPECT_EQ(Simplified(graph),
            "n3  arg0.low >= 0x14 ? n2 : n1\n"
            "n2  arg0.high == 0x3 ? n0 : n1\n"
            "n1  kill\n"
            "n0  allow\n");
}

TEST(Simplify, TestThatOnePathHasNotAskedStays) {
  Graph graph;
  Pool& pool = graph.pool;
  const NodeId yes = pool.Leaf(abi::kAllow);
  const NodeId no = pool.Leaf(abi::kKillProcess);
  const NodeId shared = pool.Test({kLow, Op::kAtLeast, kWhole, 10}, yes, no);
  const NodeId high = pool.Test({kHigh, Op::kEqual, kWhole, 3}, shared, no);
  graph.root = pool.Test({kLow, Op::kAtLeast, kWhole, 20}, high, shared);
  EXPECT_EQ(ReachableFrom(Simplify(graph).pool, Simplify(graph).root).size(), 5);
}

// A random graph on two words, a few bits each, with much sharing.
Graph RandomGraph(std::mt19937_64& random) {
  Graph graph;
  std::vector<NodeId> nodes = {graph.pool.Leaf(0), graph.pool.Leaf(1), graph.pool.Leaf(2)};
  for (std::size_t i = 0; i < 2 + random() % 20; ++i) {
    Predicate predicate;
    predicate.word = random() % 3 == 0 ? kHigh : kLow;
    predicate.op = static_cast<Op>(random() % 4);
    predicate.mask = random() % 2 == 0 ? kWhole : static_cast<std::uint32_t>(random() % 8);
    predicate.constant = predicate.op == Op::kAnyBit ? 0 : static_cast<std::uint32_t>(random() % 8);
    auto recent = [&] {
      return nodes[nodes.size() - 1 - random() % std::min<std::size_t>(nodes.size(), 5)];
    };
    nodes.push_back(graph.pool.Test(predicate, recent(), recent()));
  }
  graph.root = nodes.back();
  return graph;
}

TEST(Simplify, SameDecisionsAndNeverMoreNodes) {
  std::mt19937_64 random(3);
  std::size_t before = 0;
  std::size_t after = 0;
  for (int round = 0; round < 5'000; ++round) {
    const Graph graph = RandomGraph(random);
    const Graph simple = Simplify(graph);
    for (std::uint32_t low = 0; low < 9; ++low) {
      for (std::uint32_t high = 0; high < 9; ++high) {
        abi::CallWords words{};
        words[kLow] = low == 8 ? kWhole : low;
        words[kHigh] = high == 8 ? kWhole : high;
        ASSERT_EQ(Evaluate(simple.pool, simple.root, words),
                  Evaluate(graph.pool, graph.root, words))
            << "round " << round << '\n'
            << DumpText(graph, std::endian::little);
      }
    }
    const std::size_t nodes = ReachableFrom(graph.pool, graph.root).size();
    const std::size_t fewer = ReachableFrom(simple.pool, simple.root).size();
    ASSERT_LE(fewer, nodes) << "round " << round;
    before += nodes;
    after += fewer;
  }
  EXPECT_LT(after * 10, before * 9) << "random graphs ask many questions twice";
}

TEST(Simplify, ChainOfAHundredThousandTests) {
  Graph graph;
  const NodeId yes = graph.pool.Leaf(abi::kAllow);
  NodeId chain = graph.pool.Leaf(abi::kKillProcess);
  for (std::uint32_t value = 0; value < 100'000; ++value) {
    chain = graph.pool.Test({kLow, Op::kEqual, kWhole, 3 * value}, yes, chain);
  }
  graph.root = chain;
  EXPECT_EQ(Simplify(graph).pool.size(), 100'002);
}

}  // namespace
}  // namespace callgate::graph
