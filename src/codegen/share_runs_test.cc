#include "codegen/share_runs.h"

#include <gtest/gtest.h>

#include "abi/arch.h"
#include "graph/reach.h"
#include "graph/search_tree.h"

namespace callgate::codegen {
namespace {

using graph::Graph;
using graph::NodeId;
using graph::Op;
using graph::Steps;

constexpr std::uint32_t kWhole = UINT32_MAX;
constexpr std::uint32_t kX86 = 0xc000003e;
constexpr std::uint32_t kI386 = 0x40000003;

// x86_64, i386 and x32, which decide numbers from 424 on alike and others differently.
Graph ThreeAbis() {
  Graph graph;
  auto& pool = graph.pool;
  const NodeId allow = pool.Leaf(abi::kAllow);
  const NodeId deny = pool.Leaf(abi::Action{abi::ActionKind::kErrno, 1});
  const NodeId argument = pool.Test({4, Op::kEqual, kWhole, 3}, allow, deny);
  const Steps common = {{424, allow}, {425, deny},  {434, argument}, {435, deny},  {436, allow},
                        {438, deny},  {439, allow}, {440, deny},     {441, allow}, {442, deny}};
  Steps x86 = {{0, allow}, {100, deny}, {200, allow}, {201, argument}, {202, deny}};
  x86.insert(x86.end(), common.begin(), common.end());
  x86.push_back({abi::kX32Bit, allow});
  x86.push_back({abi::kX32Bit + 50, deny});
  for (const graph::Step& step : common) x86.push_back({abi::kX32Bit + step.first, step.node});
  x86.push_back({abi::kX32Bit + 512, allow});
  x86.push_back({abi::kX32Bit + 548, deny});
  x86.push_back({2 * abi::kX32Bit, argument});
  Steps i386 = {{0, deny}, {1, allow}, {300, deny}};
  i386.insert(i386.end(), common.begin(), common.end());
  const NodeId none = pool.Leaf(abi::kKillProcess);
  graph.root = pool.Test({abi::kArchWord, Op::kEqual, kWhole, kX86},
                         graph::RangeTree(pool, abi::kNrWord, x86),
                         pool.Test({abi::kArchWord, Op::kEqual, kWhole, kI386},
                                   graph::RangeTree(pool, abi::kNrWord, i386), none));
  return graph;
}

TEST(ShareRuns, NumbersThatAbisDecideAlikeAreSearchedByOneTree) {
  const Graph graph = ThreeAbis();
  const Graph shared = ShareRuns(graph, CallWeights());
  const std::size_t before = graph::ReachableFrom(graph.pool, graph.root).size();
  const std::size_t after = graph::ReachableFrom(shared.pool, shared.root).size();
  EXPECT_LE(after + 12, before);
}

TEST(ShareRuns, NoNumberOfAnyAbiIsDecidedOtherwise) {
  const Graph graph = ThreeAbis();
  const Graph shared = ShareRuns(graph, CallWeights());
  for (const std::uint32_t arch : {kX86, kI386, 0xc00000b7U}) {
    for (const std::uint32_t base : {0U, 0x40000000U, 0x80000000U, 0xc0000000U, 0xfffffc00U}) {
      for (std::uint32_t offset = 0; offset < 1'024; ++offset) {
        for (const std::uint32_t argument : {0U, 3U}) {
          abi::CallWords words{};
          words[abi::kArchWord] = arch;
          words[abi::kNrWord] = base + offset;
          words[4] = argument;
          ASSERT_EQ(graph::Evaluate(shared.pool, shared.root, words),
                    graph::Evaluate(graph.pool, graph.root, words))
              << std::hex << arch << ' ' << base + offset;
        }
      }
    }
  }
}

TEST(ShareRuns, PolicyForOneAbiIsLeftAlone) {
  Graph graph;
  const NodeId allow = graph.pool.Leaf(abi::kAllow);
  const NodeId deny = graph.pool.Leaf(abi::kKillProcess);
  Steps steps;
  for (std::uint32_t i = 0; i < 40; ++i) steps.push_back({3 * i, i % 2 == 0 ? allow : deny});
  graph.root = graph.pool.Test({abi::kArchWord, Op::kEqual, kWhole, kI386},
                               graph::RangeTree(graph.pool, abi::kNrWord, steps), deny);
  const Graph same = ShareRuns(graph, CallWeights());
  EXPECT_EQ(same.root, graph.root);
}

}  // namespace
}  // namespace callgate::codegen
