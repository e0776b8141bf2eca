#include "graph/dump.h"

#include <gtest/gtest.h>

#include "abi/syscalls.h"

namespace callgate::graph {
namespace {

constexpr std::uint32_t kWhole = UINT32_MAX;

Graph Example() {
  Graph graph;
  Pool& pool = graph.pool;
  const NodeId allow = pool.Leaf(abi::kAllow);
  const NodeId kill = pool.Leaf(abi::kKillProcess);
  const NodeId mode = pool.Test({6, Op::kEqual, 3, 2}, allow, kill);
  const NodeId openat = pool.Test({abi::kNrWord, Op::kEqual, kWhole, 257}, mode, kill);
  const NodeId i386 = pool.Test({abi::kNrWord, Op::kAtLeast, kWhole, 100}, kill, allow);
  const NodeId compat = pool.Test({abi::kArchWord, Op::kEqual, kWhole, 0x40000003}, i386, kill);
  graph.root = pool.Test({abi::kArchWord, Op::kEqual, kWhole, 0xc000003e}, openat, compat);
  return graph;
}

TEST(DumpText, NamesNumbersByTheArchitectureThatLedThere) {
  EXPECT_EQ(DumpText(Example(), std::endian::little),
            "n6  arch == 0xc000003e (x86_64) ? n3 : n5\n"
            "n5  arch == 0x40000003 (i386) ? n4 : n1\n"
            "n4  nr >= 100 (fstatfs) ? n1 : n0\n"
            "n3  nr == 257 (openat) ? n2 : n1\n"
            "n2  arg1.low & 0x3 == 0x2 ? n0 : n1\n"
            "n1  kill\n"
            "n0  allow\n");
}

TEST(DumpDot, YesIsSolidAndNoIsDashed) {
  Graph graph;
  const NodeId allow = graph.pool.Leaf(abi::kAllow);
  const NodeId kill = graph.pool.Leaf(abi::kKillProcess);
  graph.root = graph.pool.Test({7, Op::kEqual, kWhole, 0}, allow, kill);
  EXPECT_EQ(DumpDot(graph, std::endian::big),
            "digraph filter {\n"
            "  node [fontname=\"monospace\"];\n"
            "  n2 [label=\"arg1.low == 0x0\", shape=ellipse];\n"
            "  n2 -> n0;\n"
            "  n2 -> n1 [style=dashed];\n"
            "  n1 [label=\"kill\", shape=box];\n"
            "  n0 [label=\"allow\", shape=box];\n"
            "}\n");
}

}  // namespace
}  // namespace callgate::graph
