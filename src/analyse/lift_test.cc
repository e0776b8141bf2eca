#include "analyse/lift.h"

#include <gtest/gtest.h>

#include "bpf/disassemble.h"
#include "bpf/encode.h"
#include "bpf/interpret.h"
#include "bpf/verify.h"
#include "graph/dump.h"
#include "testing/random_program.h"

namespace callgate::analyse {
namespace {

using bpf::Opcode;
using bpf::Program;

constexpr std::uint32_t kAllow = 0x7fff0000;
constexpr std::uint32_t kKill = 0x80000000;

bpf::Instruction Do(Opcode opcode, std::uint32_t k = 0) {
  return {static_cast<std::uint16_t>(opcode), 0, 0, k};
}
bpf::Instruction Jump(Opcode opcode, std::uint32_t k, std::uint8_t jt, std::uint8_t jf) {
  return {static_cast<std::uint16_t>(opcode), jt, jf, k};
}

// The graph of "these instructions, then this jump to allow or else kill".
std::string GraphOf(Program program, const bpf::Instruction& jump) {
  program.push_back(jump);
  program.push_back(Do(Opcode::kRetK, kAllow));
  program.push_back(Do(Opcode::kRetK, kKill));
  EXPECT_TRUE(bpf::Verify(program).has_value());
  graph::Graph graph;
  const Lifted lifted = Lift(program, graph.pool);
  if (!lifted.undecided.empty()) return lifted.undecided.front().reason;
  graph.root = lifted.root;
  return graph::DumpText(graph, std::endian::little);
}

TEST(Lift, MaskedWordIsOneTest) {
  EXPECT_EQ(
      GraphOf({Do(Opcode::kLdAbs, 16), Do(Opcode::kAndK, 0xff)}, Jump(Opcode::kJeqK, 3, 0, 1)),
      "n2  arg0.low & 0xff == 0x3 ? n1 : n0\n"
      "n1  allow\n"
      "n0  kill\n");
}

TEST(Lift, SumWithAConstantIsARange) {
  EXPECT_EQ(GraphOf({Do(Opcode::kLdAbs, 16), Do(Opcode::kSubK, 10)}, Jump(Opcode::kJgtK, 5, 1, 0)),
            "n3  arg0.low >= 0xa ? n2 : n0\n"
            "n2  arg0.low >= 0x10 ? n0 : n1\n"
            "n1  allow\n"
            "n0  kill\n");
}

TEST(Lift, ShiftedAndMaskedWordIsOneTest) {
  EXPECT_EQ(GraphOf({Do(Opcode::kLdAbs, 16), Do(Opcode::kRshK, 4), Do(Opcode::kAndK, 7)},
                    Jump(Opcode::kJeqK, 3, 0, 1)),
            "n2  arg0.low & 0x70 == 0x30 ? n1 : n0\n"
            "n1  allow\n"
            "n0  kill\n");
}

TEST(Lift, BitsOfTwoWordsTogetherAreTestsOfEach) {
  EXPECT_EQ(
      GraphOf({Do(Opcode::kLdAbs, 16), Do(Opcode::kTax), Do(Opcode::kLdAbs, 20), Do(Opcode::kOrX)},
              Jump(Opcode::kJeqK, 0, 0, 1)),
      "n3  arg0.low == 0x0 ? n2 : n0\n"
      "n2  arg0.high == 0x0 ? n1 : n0\n"
      "n1  allow\n"
      "n0  kill\n");
}

TEST(Lift, ComparisonOfTwoWordsIsUndecided) {
  EXPECT_EQ(GraphOf({Do(Opcode::kLdAbs, 16), Do(Opcode::kTax), Do(Opcode::kLdAbs, 20)},
                    Jump(Opcode::kJgtX, 0, 0, 1)),
            "instruction 3, 'jgt x, l4, l5': too complex a function of the call");
}

// The call reaches an undecided leaf, or the graph says what the interpreter says.
TEST(Lift, RandomProgramsDecideAsTheInterpreter) {
  const std::uint64_t count = testing::RandomCount(4'000);
  const std::uint64_t seed = testing::RandomSeed();
  constexpr int kCalls = 20;
  testing::ProgramGenerator generator(seed);
  std::uint64_t whole = 0;
  std::uint64_t decided = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const Program program = generator.Valid();
    graph::Pool pool;
    const Lifted lifted = Lift(program, pool);
    whole += lifted.undecided.empty() ? 1 : 0;
    for (int j = 0; j < kCalls; ++j) {
      const abi::CallWords words = abi::WordsOf(generator.CallFor(program), std::endian::little);
      const std::uint32_t value = graph::Evaluate(pool, lifted.root, words);
      if (lifted.IsUndecided(value)) continue;
      ++decided;
      ASSERT_EQ(value, bpf::Interpret(program, words))
          << "seed " << seed << " program " << i << '\n'
          << bpf::Disassemble(program);
    }
  }
  std::printf("seed %lu: %lu programs, %lu without an undecided place; %lu of %lu calls decided\n",
              seed, count, whole, decided, count * kCalls);
  EXPECT_GE(decided * 100, count * kCalls * 60);
}

}  // namespace
}  // namespace callgate::analyse
