#include "graph/graph.h"

#include <gtest/gtest.h>

#include <vector>

#include "graph/dump.h"
#include "graph/reach.h"

namespace callgate::graph {
namespace {

constexpr std::uint32_t kWhole = UINT32_MAX;
constexpr std::uint8_t kWord = 4;

// Words that differ in their two lowest and two highest bits and in whether the bits between are
// all set: the places where carries, masks and comparisons can go wrong.
std::vector<std::uint32_t> EdgeWords() {
  std::vector<std::uint32_t> words;
  for (std::uint32_t bits = 0; bits < 16; ++bits) {
    const std::uint32_t ends = (bits & 3) | (bits & 12) << 28;
    for (const std::uint32_t middle : {0U, 0x3ffffffcU}) words.push_back(ends | middle);
  }
  return words;
}

abi::CallWords WithWord(std::uint32_t value) {
  abi::CallWords words{};
  words[kWord] = value;
  return words;
}

TEST(Pool, EveryPredicateMeansTheSameInItsCanonicalForm) {
  const std::vector<std::uint32_t> edges = EdgeWords();
  for (const Op op : {Op::kEqual, Op::kGreater, Op::kAtLeast, Op::kAnyBit}) {
    for (const std::uint32_t mask : edges) {
      for (const std::uint32_t edge : edges) {
        const std::uint32_t constant = op == Op::kAnyBit ? 0 : edge;
        const Predicate predicate{kWord, op, mask, constant};
        Pool pool;
        const NodeId yes = pool.Leaf(1);
        const NodeId no = pool.Leaf(2);
        const NodeId test = pool.Test(predicate, yes, no);
        for (const std::uint32_t value : edges) {
          ASSERT_EQ(Evaluate(pool, test, WithWord(value)),
                    predicate.Holds(WithWord(value)) ? 1U : 2U)
              << ToString(predicate, std::endian::little) << " of " << value;
        }
      }
    }
  }
}

// What a test of kWord becomes, with the leaves that it leads to.
std::string Canonical(Op op, std::uint32_t mask, std::uint32_t constant) {
  Pool pool;
  const NodeId yes = pool.Leaf(abi::kAllow);
  const NodeId no = pool.Leaf(abi::kKillProcess);
  const NodeId test = pool.Test({kWord, op, mask, constant}, yes, no);
  if (test == yes) return "always";
  if (test == no) return "never";
  const Node& node = pool[test];
  return (node.yes == yes ? "" : "not ") + ToString(node.predicate, std::endian::little);
}

TEST(Pool, OneFunctionOfAWordHasOneSpelling) {
  const struct {
    Op op;
    std::uint32_t mask;
    std::uint32_t constant;
    const char* canonical;
  } cases[] = {
      {Op::kEqual, kWhole, 7, "arg0.low == 0x7"},
      {Op::kEqual, 0, 0, "always"},
      {Op::kEqual, 0, 1, "never"},
      {Op::kEqual, 0xf0, 0x11, "never"},
      {Op::kEqual, 0x8, 0x8, "arg0.low & 0x8"},
      {Op::kEqual, 0x18, 0, "not arg0.low & 0x18"},
      {Op::kEqual, 0x18, 0x18, "arg0.low & 0x18 == 0x18"},
      {Op::kEqual, 0xfffff000, 0xfffff000, "arg0.low >= 0xfffff000"},
      {Op::kEqual, 0xfffff000, 0, "not arg0.low >= 0x1000"},
      {Op::kGreater, kWhole, 7, "arg0.low >= 0x8"},
      {Op::kGreater, kWhole, 0, "not arg0.low == 0x0"},
      {Op::kGreater, kWhole, kWhole, "never"},
      {Op::kGreater, kWhole, kWhole - 1, "arg0.low == 0xffffffff"},
      {Op::kAtLeast, kWhole, 0, "always"},
      {Op::kAtLeast, kWhole, 1, "not arg0.low == 0x0"},
      {Op::kAtLeast, kWhole, kWhole, "arg0.low == 0xffffffff"},
      {Op::kAtLeast, 0xff, 0x100, "never"},
      {Op::kAtLeast, 0xfffff000, 0x2000, "arg0.low >= 0x2000"},
      {Op::kAtLeast, 0xfffff000, 0x1001, "arg0.low >= 0x2000"},
      {Op::kAtLeast, 0xf0, 0x20, "arg0.low & 0xe0"},
      {Op::kAtLeast, 0xf0, 0x60, "arg0.low & 0xff >= 0x60"},
      {Op::kAtLeast, 0xf0, 0x71, "arg0.low & 0x80"},
      {Op::kAtLeast, 0xf0, 0xf0, "arg0.low & 0xf0 == 0xf0"},
      {Op::kAnyBit, 0, 0, "never"},
      {Op::kAnyBit, kWhole, 0, "not arg0.low == 0x0"},
      {Op::kAnyBit, 0x80000000, 0, "arg0.low >= 0x80000000"},
      {Op::kAnyBit, 0x5, 0, "arg0.low & 0x5"},
  };
  for (const auto& c : cases) {
    const Predicate predicate{kWord, c.op, c.mask, c.constant};
    EXPECT_EQ(Canonical(c.op, c.mask, c.constant), c.canonical)
        << static_cast<int>(c.op) << ' ' << ToString(predicate, std::endian::little);
  }
}

TEST(Pool, EqualContentIsOneNode) {
  Pool pool;
  const NodeId yes = pool.Leaf(1);
  const NodeId no = pool.Leaf(2);
  EXPECT_EQ(pool.Leaf(1), yes);
  const NodeId test = pool.Test({kWord, Op::kGreater, kWhole, 4}, yes, no);
  EXPECT_EQ(pool.Test({kWord, Op::kAtLeast, kWhole, 5}, yes, no), test);
  EXPECT_NE(pool.Test({kWord, Op::kAtLeast, kWhole, 5}, no, yes), test);
  EXPECT_NE(pool.Test({kWord + 1, Op::kAtLeast, kWhole, 5}, yes, no), test);
}

TEST(Pool, TestWithEqualChildrenIsItsChild) {
  Pool pool;
  const NodeId leaf = pool.Leaf(1);
  EXPECT_EQ(pool.Test({kWord, Op::kEqual, kWhole, 4}, leaf, leaf), leaf);
}

TEST(ReachableFrom, NodesLeftBehindDoNotCount) {
  Pool pool;
  const NodeId yes = pool.Leaf(1);
  const NodeId no = pool.Leaf(2);
  pool.Leaf(3);
  const NodeId inner = pool.Test({kWord, Op::kEqual, kWhole, 4}, yes, no);
  pool.Test({kWord, Op::kEqual, kWhole, 5}, yes, no);
  const NodeId root = pool.Test({kWord, Op::kEqual, kWhole, 6}, inner, no);
  EXPECT_EQ(ReachableFrom(pool, root), (std::vector<NodeId>{yes, no, inner, root}));
}

}  // namespace
}  // namespace callgate::graph
