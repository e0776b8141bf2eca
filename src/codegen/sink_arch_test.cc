#include "codegen/sink_arch.h"

#include <gtest/gtest.h>

#include <bit>

#include "graph/dump.h"

namespace callgate::codegen {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::Op;

constexpr std::uint32_t kWhole = UINT32_MAX;
constexpr std::uint32_t kX86 = 0xc000003e;

std::string TextOf(const Graph& graph) { return graph::DumpText(graph, std::endian::little); }

NodeId OnX86(graph::Pool& pool, NodeId decision, NodeId elsewhere) {
  return pool.Test({abi::kArchWord, Op::kEqual, kWhole, kX86}, decision, elsewhere);
}

NodeId Number(graph::Pool& pool, std::uint32_t nr, NodeId yes, NodeId no) {
  return pool.Test({abi::kNrWord, Op::kEqual, kWhole, nr}, yes, no);
}

TEST(SinkArch, WhatIsKilledLikeAForeignCallDoesNotAskForTheAbi) {
  Graph graph;
  const NodeId kill = graph.pool.Leaf(abi::kKillProcess);
  const NodeId allow = graph.pool.Leaf(abi::kAllow);
  const NodeId argument = graph.pool.Test({4, Op::kEqual, kWhole, 1}, allow, kill);
  graph.root =
      OnX86(graph.pool, Number(graph.pool, 0, argument, Number(graph.pool, 1, allow, kill)), kill);
  Graph wanted;
  const NodeId end = wanted.pool.Leaf(abi::kKillProcess);
  const NodeId ask = OnX86(wanted.pool, wanted.pool.Leaf(abi::kAllow), end);
  const NodeId checked = wanted.pool.Test({4, Op::kEqual, kWhole, 1}, ask, end);
  wanted.root = Number(wanted.pool, 0, checked, Number(wanted.pool, 1, ask, end));
  EXPECT_EQ(TextOf(SinkArch(graph)), TextOf(wanted));
}

TEST(SinkArch, OtherAnswersForForeignCallsKeepTheQuestionInFront) {
  Graph graph;
  const NodeId kill = graph.pool.Leaf(abi::kKillProcess);
  const NodeId deny = graph.pool.Leaf(abi::Action{abi::ActionKind::kErrno, 1});
  graph.root = OnX86(graph.pool, Number(graph.pool, 0, graph.pool.Leaf(abi::kAllow), deny), kill);
  EXPECT_EQ(TextOf(SinkArch(graph)), TextOf(graph));
}

TEST(SinkArch, FewKilledNumbersAreNotWorthTheInstructions) {
  Graph graph;
  const NodeId kill = graph.pool.Leaf(abi::kKillProcess);
  NodeId decision = graph.pool.Leaf(abi::kAllow);
  for (std::uint16_t nr = 0; nr < 9; ++nr) {
    const auto refusal = graph.pool.Leaf(abi::Action{abi::ActionKind::kErrno, nr});
    decision = Number(graph.pool, nr, nr == 0 ? kill : refusal, decision);
  }
  graph.root = OnX86(graph.pool, decision, kill);
  EXPECT_EQ(TextOf(SinkArch(graph)), TextOf(graph));
}

TEST(SinkArch, SecondAbiKeepsTheQuestionInFront) {
  Graph graph;
  const NodeId kill = graph.pool.Leaf(abi::kKillProcess);
  const NodeId allow = graph.pool.Leaf(abi::kAllow);
  const NodeId i386 = graph.pool.Test({abi::kArchWord, Op::kEqual, kWhole, 0x40000003},
                                      Number(graph.pool, 3, allow, kill), kill);
  graph.root = OnX86(graph.pool, Number(graph.pool, 0, allow, kill), i386);
  EXPECT_EQ(TextOf(SinkArch(graph)), TextOf(graph));
}

}  // namespace
}  // namespace callgate::codegen
