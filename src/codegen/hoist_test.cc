#include "codegen/hoist.h"

#include <gtest/gtest.h>

#include "graph/dump.h"
#include "graph/simplify.h"

namespace callgate::codegen {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::Op;

constexpr std::uint32_t kWhole = UINT32_MAX;

// arg0 == value && arg1 == other, both 64 bits wide.
NodeId Pair(graph::Pool& pool, std::uint32_t value, std::uint32_t other, NodeId yes, NodeId no) {
  const NodeId low1 = pool.Test({6, Op::kEqual, kWhole, other}, yes, no);
  const NodeId high1 = pool.Test({7, Op::kEqual, kWhole, 0}, low1, no);
  const NodeId low0 = pool.Test({4, Op::kEqual, kWhole, value}, high1, no);
  return pool.Test({5, Op::kEqual, kWhole, 0}, low0, no);
}

TEST(HoistCommonTests, UpperHalfThatAllAlternativesAskForIsAskedOnce) {
  Graph graph;
  const NodeId deny = graph.pool.Leaf(abi::Action{abi::ActionKind::kErrno, 1});
  const NodeId allow = graph.pool.Leaf(abi::kAllow);
  graph.root = Pair(graph.pool, 1, 2, allow,
                    Pair(graph.pool, 3, 4, allow, Pair(graph.pool, 5, 6, allow, deny)));
  const Graph hoisted = HoistCommonTests(graph::Simplify(graph));
  const std::string text = graph::DumpText(hoisted, std::endian::little);
  EXPECT_EQ(text.find("arg1.high"), text.rfind("arg1.high")) << text;
}

TEST(HoistCommonTests, TestWhoseFailureMayEndInTwoWaysStays) {
  Graph graph;
  const NodeId deny = graph.pool.Leaf(abi::Action{abi::ActionKind::kErrno, 1});
  const NodeId trap = graph.pool.Leaf(abi::Action{abi::ActionKind::kTrap, 1});
  const NodeId allow = graph.pool.Leaf(abi::kAllow);
  const NodeId first = Pair(graph.pool, 1, 2, allow, deny);
  const NodeId second = Pair(graph.pool, 3, 4, allow, trap);
  graph.root = graph.pool.Test({8, Op::kEqual, kWhole, 7}, first, second);
  const Graph simple = graph::Simplify(graph);
  EXPECT_EQ(graph::DumpText(HoistCommonTests(simple), std::endian::little),
            graph::DumpText(simple, std::endian::little));
}

}  // namespace
}  // namespace callgate::codegen
