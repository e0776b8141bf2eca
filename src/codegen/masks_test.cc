#include "codegen/masks.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "graph/dump.h"
#include "graph/reach.h"
#include "graph/search_tree.h"

namespace callgate::codegen {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::Op;

constexpr std::uint32_t kWhole = UINT32_MAX;
constexpr std::uint8_t kArg0 = 4;

// allow for these values of arg0, kill for others.
Graph AllowValues(const std::set<std::uint32_t>& values) {
  Graph graph;
  const NodeId allow = graph.pool.Leaf(abi::kAllow);
  NodeId chain = graph.pool.Leaf(abi::kKillProcess);
  for (const std::uint32_t value : values) {
    chain = graph.pool.Test({kArg0, Op::kEqual, kWhole, value}, allow, chain);
  }
  graph.root = chain;
  return graph;
}

TEST(TestByMask, AllCombinationsOfTwoFlagsAreOneTest) {
  // Docker's rule for personality.
  const Graph graph = TestByMask(AllowValues({0, 8, 0x20000, 0x20008, 0xffffffff}));
  EXPECT_EQ(graph::DumpText(graph, std::endian::little),
            "n3  arg0.low & 0xfffdfff7 ? n2 : n0\n"
            "n2  arg0.low == 0xffffffff ? n0 : n1\n"
            "n1  kill\n"
            "n0  allow\n");
}

TEST(TestByMask, RangeStaysARange) {
  const Graph graph = TestByMask(AllowValues({0, 1, 2, 3, 4, 5, 6, 7}));
  EXPECT_EQ(graph.pool[graph.root].predicate.op, Op::kEqual);
}

TEST(TestByMask, NumbersAreLeftToTheKernelsSearch) {
  Graph graph;
  const NodeId allow = graph.pool.Leaf(abi::kAllow);
  NodeId chain = graph.pool.Leaf(abi::kKillProcess);
  for (const std::uint32_t nr : {0U, 8U, 64U, 72U}) {
    chain = graph.pool.Test({abi::kNrWord, Op::kEqual, kWhole, nr}, allow, chain);
  }
  graph.root = chain;
  const Graph same = TestByMask(graph);
  EXPECT_EQ(graph::DumpText(same, std::endian::little),
            graph::DumpText(graph, std::endian::little));
}

TEST(TestByMask, EverySmallSetDecidesAsBefore) {
  for (std::uint32_t set = 1; set < 1U << 12; ++set) {
    std::set<std::uint32_t> values;
    for (std::uint32_t value = 0; value < 12; ++value) {
      if ((set >> value & 1) != 0) values.insert(value);
    }
    const Graph before = AllowValues(values);
    const Graph after = TestByMask(before);
    for (const std::uint32_t value : {0U, 1U, 2U, 3U, 4U, 5U, 6U, 7U, 8U, 9U, 10U, 11U, 12U, 15U,
                                      16U, 0x80000000U, 0x80000008U, 0xffffffffU}) {
      abi::CallWords words{};
      words[kArg0] = value;
      ASSERT_EQ(graph::Evaluate(after.pool, after.root, words),
                graph::Evaluate(before.pool, before.root, words))
          << "set " << set << " value " << value;
    }
  }
}

}  // namespace
}  // namespace callgate::codegen
