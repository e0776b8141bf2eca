#include "codegen/dispatch.h"

#include <gtest/gtest.h>

#include "graph/dump.h"
#include "graph/reach.h"

namespace callgate::codegen {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::Op;

constexpr std::uint32_t kWhole = UINT32_MAX;

TEST(RebuildDispatch, ChainOfNeighboursBecomesOneRange) {
  Graph graph;
  const NodeId allow = graph.pool.Leaf(abi::kAllow);
  NodeId chain = graph.pool.Leaf(abi::kKillProcess);
  for (const std::uint32_t nr : {4U, 2U, 5U, 3U}) {
    chain = graph.pool.Test({abi::kNrWord, Op::kEqual, kWhole, nr}, allow, chain);
  }
  graph.root = chain;
  EXPECT_EQ(graph::DumpText(RebuildDispatch(graph, CallWeights()), std::endian::little),
            "n3  nr >= 2 ? n2 : n1\n"
            "n2  nr >= 6 ? n1 : n0\n"
            "n1  kill\n"
            "n0  allow\n");
}

TEST(RebuildDispatch, LongChainOfEqualitiesBecomesATree) {
  Graph graph;
  NodeId chain = graph.pool.Leaf(abi::kKillProcess);
  for (std::uint16_t i = 0; i < 64; ++i) {
    chain = graph.pool.Test({4, Op::kEqual, kWhole, 3U * i},
                            graph.pool.Leaf(abi::Action{abi::ActionKind::kErrno, i}), chain);
  }
  graph.root = chain;
  const Graph rebuilt = RebuildDispatch(graph, CallWeights());
  for (std::uint32_t value = 0; value < 200; ++value) {
    abi::CallWords words{};
    words[4] = value;
    NodeId node = rebuilt.root;
    int depth = 0;
    while (!rebuilt.pool[node].is_leaf) {
      const graph::Node& test = rebuilt.pool[node];
      node = test.predicate.Holds(words) ? test.yes : test.no;
      ++depth;
    }
    EXPECT_EQ(rebuilt.pool[node].ret_value, graph::Evaluate(graph.pool, graph.root, words));
    EXPECT_LE(depth, 20) << value;
  }
}

// The numbers of a container's profile (security-profiles-operator, base profile for runc).
TEST(RebuildDispatch, SparseNumbersTakeNoMoreTestsThanOneForEach) {
  constexpr std::uint32_t kNumbers[] = {0,   1,   3,   5,   9,   10,  12,  13,  15,  24,
                                        35,  39,  45,  46,  59,  72,  79,  80,  102, 105,
                                        106, 110, 116, 125, 126, 131, 138, 157, 158, 202,
                                        217, 218, 231, 233, 257, 262, 281, 332, 436, 437};
  Graph graph;
  const NodeId allow = graph.pool.Leaf(abi::kAllow);
  const NodeId kill = graph.pool.Leaf(abi::kKillProcess);
  NodeId chain = graph.pool.Leaf(abi::Action{abi::ActionKind::kErrno, 1});
  for (const std::uint32_t nr : kNumbers) {
    chain = graph.pool.Test({abi::kNrWord, Op::kEqual, kWhole, nr}, allow, chain);
  }
  graph.root = graph.pool.Test({abi::kArchWord, Op::kEqual, kWhole, 0xc000003e}, chain, kill);
  const Graph rebuilt = RebuildDispatch(graph, CallWeights());
  EXPECT_LE(graph::ReachableFrom(rebuilt.pool, rebuilt.root).size(),
            graph::ReachableFrom(graph.pool, graph.root).size());
}

TEST(RebuildDispatch, ArchitecturesKeepTheirOrder) {
  Graph graph;
  const NodeId first = graph.pool.Leaf(1);
  const NodeId second = graph.pool.Leaf(2);
  NodeId chain = graph.pool.Leaf(3);
  for (const std::uint32_t arch : {0x40000028U, 0x00000008U, 0x40000003U, 0x80000016U}) {
    chain = graph.pool.Test({abi::kArchWord, Op::kEqual, kWhole, arch}, second, chain);
  }
  graph.root = graph.pool.Test({abi::kArchWord, Op::kEqual, kWhole, 0xc000003e}, first, chain);
  const Graph rebuilt = RebuildDispatch(graph, CallWeights());
  EXPECT_EQ(rebuilt.pool[rebuilt.root].predicate.constant, 0xc000003e);
  EXPECT_EQ(graph::ReachableFrom(rebuilt.pool, rebuilt.root).size(), 8);
}

TEST(RebuildDispatch, TailThatTwoRegionsShareIsNotCopiedIntoAMuchLargerGraph) {
  Graph graph;
  auto& pool = graph.pool;
  NodeId tail = pool.Leaf(abi::kKillProcess);
  for (std::uint16_t i = 0; i < 40; ++i) {
    tail = pool.Test({4, Op::kEqual, kWhole, 5U * i},
                     pool.Leaf(abi::Action{abi::ActionKind::kErrno, i}), tail);
  }
  NodeId longer = tail;
  for (std::uint16_t i = 40; i < 50; ++i) {
    longer = pool.Test({4, Op::kEqual, kWhole, 5U * i},
                       pool.Leaf(abi::Action{abi::ActionKind::kErrno, i}), longer);
  }
  graph.root = pool.Test({6, Op::kEqual, kWhole, 1}, tail, longer);
  const Graph rebuilt = RebuildDispatch(graph, CallWeights());
  EXPECT_LE(graph::ReachableFrom(rebuilt.pool, rebuilt.root).size(),
            graph::ReachableFrom(pool, graph.root).size() * 5 / 4);
}

}  // namespace
}  // namespace callgate::codegen
