#include "codegen/emit.h"

#include <gtest/gtest.h>
#include <linux/filter.h>

#include <vector>

#include "bpf/interpret.h"

namespace callgate::codegen {
namespace {

using bpf::Instruction;
using graph::Graph;
using graph::NodeId;
using graph::Op;

constexpr std::uint32_t kWhole = UINT32_MAX;
constexpr std::uint8_t kArg0 = 4;
constexpr std::uint8_t kArg1 = 6;
constexpr std::uint8_t kArg5 = 14;

constexpr Instruction Load(std::uint8_t word) {
  return {BPF_LD | BPF_W | BPF_ABS, 0, 0, std::uint32_t{word} * 4};
}
constexpr Instruction And(std::uint32_t mask) { return {BPF_ALU | BPF_AND | BPF_K, 0, 0, mask}; }
constexpr Instruction Jump(int op, std::uint8_t yes, std::uint8_t no, std::uint32_t k) {
  return {static_cast<std::uint16_t>(BPF_JMP | BPF_K | op), yes, no, k};
}
constexpr Instruction Ret(std::uint32_t value) { return {BPF_RET | BPF_K, 0, 0, value}; }

abi::CallWords Words(std::uint32_t arg0, std::uint32_t arg1 = 0, std::uint32_t arg5 = 0) {
  abi::CallWords words{};
  words[kArg0] = arg0;
  words[kArg1] = arg1;
  words[kArg5] = arg5;
  return words;
}

TEST(Emit, LeafIsOneReturn) {
  Graph graph;
  graph.root = graph.pool.Leaf(7);
  EXPECT_EQ(Emit(graph), bpf::Program{Ret(7)});
}

TEST(Emit, ChainOnOneWordLoadsItOnceAndFallsThrough) {
  Graph graph;
  const NodeId yes = graph.pool.Leaf(1);
  const NodeId no = graph.pool.Leaf(2);
  const NodeId second = graph.pool.Test({kArg0, Op::kEqual, kWhole, 20}, yes, no);
  graph.root = graph.pool.Test({kArg0, Op::kEqual, kWhole, 10}, yes, second);
  EXPECT_EQ(Emit(graph), (bpf::Program{Load(kArg0), Jump(BPF_JEQ, 2, 0, 10),
                                       Jump(BPF_JEQ, 1, 0, 20), Ret(2), Ret(1)}));
}

// The bug of libseccomp issue 148: a block shared between two ways to it, one of which had the word
// in the accumulator, lost its load. Here the node is shared and its entry is not.
TEST(Emit, NodeSharedByAWayWithItsWordLoadedAndAWayWithoutKeepsItsLoadForTheLatter) {
  Graph graph;
  const NodeId yes = graph.pool.Leaf(1);
  const NodeId no = graph.pool.Leaf(2);
  const NodeId shared = graph.pool.Test({kArg0, Op::kEqual, kWhole, 5}, yes, no);
  const NodeId same_word = graph.pool.Test({kArg0, Op::kAtLeast, kWhole, 9}, no, shared);
  graph.root = graph.pool.Test({kArg1, Op::kEqual, kWhole, 3}, shared, same_word);
  const bpf::Program program = Emit(graph);
  EXPECT_EQ(program,
            (bpf::Program{Load(kArg1), Jump(BPF_JEQ, 2, 0, 3), Load(kArg0), Jump(BPF_JGE, 2, 1, 9),
                          Load(kArg0), Jump(BPF_JEQ, 1, 0, 5), Ret(2), Ret(1)}));
}

// JSET hands on what it was given, so it must not be given a masked copy: the test behind it, which
// relies on the whole word, would see the copy on one of its two ways.
TEST(Emit, MaskedCopyInTheAccumulatorServesMasksWithinItOnly) {
  Graph graph;
  const NodeId yes = graph.pool.Leaf(1);
  const NodeId no = graph.pool.Leaf(2);
  const NodeId whole = graph.pool.Test({kArg0, Op::kEqual, kWhole, 77}, yes, no);
  const NodeId bit = graph.pool.Test({kArg0, Op::kAnyBit, 0x10, 0}, yes, whole);
  const NodeId narrower = graph.pool.Test({kArg0, Op::kEqual, 0x18, 0x18}, yes, bit);
  const NodeId same_mask = graph.pool.Test({kArg0, Op::kEqual, 0xf8, 0x28}, yes, narrower);
  graph.root = graph.pool.Test({kArg0, Op::kEqual, 0xf8, 0x48}, yes, same_mask);
  EXPECT_EQ(
      Emit(graph),
      (bpf::Program{Load(kArg0), And(0xf8), Jump(BPF_JEQ, 7, 0, 0x48), Jump(BPF_JEQ, 6, 0, 0x28),
                    And(0x18), Jump(BPF_JEQ, 4, 0, 0x18), Load(kArg0), Jump(BPF_JSET, 2, 0, 0x10),
                    Jump(BPF_JEQ, 1, 0, 77), Ret(2), Ret(1)}));
}

// A test whose targets lie `filler` tests apart: one directly behind it, one behind the filler.
struct FarJump {
  bool far_is_leaf;
  bool far_on_yes;
  bool both_far;
};

Graph BuildFarJump(const FarJump& shape, std::uint32_t filler) {
  Graph graph;
  auto& pool = graph.pool;
  const NodeId last = pool.Leaf(1);
  const NodeId found = pool.Leaf(2);
  const NodeId far =
      shape.far_is_leaf ? last : pool.Test({kArg1, Op::kEqual, kWhole, 5}, pool.Leaf(3), last);
  const NodeId other_far = pool.Test({kArg1, Op::kEqual, kWhole, 6}, pool.Leaf(4), far);
  NodeId chain = shape.both_far ? other_far : far;
  for (std::uint32_t i = 0; i < filler; ++i) {
    chain = pool.Test({kArg0, Op::kEqual, kWhole, 2 * i}, found, chain);
  }
  auto choose = [&](NodeId near) {
    return shape.far_on_yes ? pool.Test({kArg5, Op::kEqual, kWhole, 9}, far, near)
                            : pool.Test({kArg5, Op::kEqual, kWhole, 9}, near, far);
  };
  if (!shape.both_far) {
    graph.root = choose(chain);
    return graph;
  }
  // The root's two branches are both behind the filler; the filler hangs on a test before them.
  graph.root = pool.Test({kArg5, Op::kAtLeast, kWhole, 100}, chain, choose(other_far));
  return graph;
}

TEST(Emit, EveryJumpDistanceAroundTheLimitReachesItsTarget) {
  std::size_t shortest_with_copy = SIZE_MAX;
  for (int shape_bits = 0; shape_bits < 8; ++shape_bits) {
    const FarJump shape{(shape_bits & 1) != 0, (shape_bits & 2) != 0, (shape_bits & 4) != 0};
    std::size_t previous_size = 0;
    int copies = 0;
    for (std::uint32_t filler = 235; filler <= 275; ++filler) {
      const Graph graph = BuildFarJump(shape, filler);
      const bpf::Program program = Emit(graph);
      for (std::uint32_t arg0 = 0; arg0 <= 2 * filler + 2; ++arg0) {
        for (const std::uint32_t arg1 : {5U, 6U, 7U}) {
          for (const std::uint32_t arg5 : {9U, 10U, 100U}) {
            const abi::CallWords words = Words(arg0, arg1, arg5);
            ASSERT_EQ(bpf::Interpret(program, words),
                      graph::Evaluate(graph.pool, graph.root, words))
                << "shape " << shape_bits << " filler " << filler << " arg0 " << arg0;
          }
        }
      }
      // Each more filler is one more instruction, and one more where a target went out of reach.
      if (previous_size != 0 && program.size() > previous_size + 1) {
        ++copies;
        shortest_with_copy = std::min<std::size_t>(shortest_with_copy, filler);
      }
      previous_size = program.size();
    }
    EXPECT_GE(copies, 1) << "shape " << shape_bits << ": the sweep never left the reach of a jump";
  }
  EXPECT_GT(shortest_with_copy, 235U);
}

// The interpreter takes nothing that the kernel would not, so programs over its limit are followed
// by this.
std::uint32_t FollowLong(const bpf::Program& program, const abi::CallWords& words) {
  std::uint32_t a = 0;
  for (std::size_t pc = 0;; ++pc) {
    const Instruction& in = program.at(pc);
    switch (in.code) {
      case BPF_LD | BPF_W | BPF_ABS:
        a = words[in.k / 4];
        break;
      case BPF_JMP | BPF_JA:
        pc += in.k;
        break;
      case BPF_JMP | BPF_JEQ | BPF_K:
        pc += a == in.k ? in.jt : in.jf;
        break;
      case BPF_RET | BPF_K:
        return in.k;
      default:
        ADD_FAILURE() << "unexpected instruction " << in.code;
        return 0;
    }
  }
}

TEST(Emit, GraphOfAHundredThousandTestsNeitherRecursesNorLosesAnything) {
  Graph graph;
  const NodeId yes = graph.pool.Leaf(1);
  NodeId chain = graph.pool.Leaf(2);
  for (std::uint32_t i = 0; i < 100'000; ++i) {
    chain = graph.pool.Test(
        {static_cast<std::uint8_t>(i % 2 == 0 ? kArg0 : kArg1), Op::kEqual, kWhole, 2 * i}, yes,
        chain);
  }
  graph.root = chain;
  const bpf::Program program = Emit(graph);
  EXPECT_GT(program.size(), 200'000);  // alternating words: a load and a jump each
  for (const std::uint32_t value : {0U, 1U, 2U, 99'998U, 199'996U, 199'998U}) {
    const abi::CallWords words = Words(value, value);
    EXPECT_EQ(FollowLong(program, words), graph::Evaluate(graph.pool, graph.root, words));
  }
}

}  // namespace
}  // namespace callgate::codegen
