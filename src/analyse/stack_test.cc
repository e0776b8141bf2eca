#include "analyse/stack.h"

#include <gtest/gtest.h>

#include "analyse/compare.h"
#include "bpf/disassemble.h"
#include "bpf/stack.h"
#include "testing/random_program.h"

namespace callgate::analyse {
namespace {

using bpf::Opcode;
using bpf::Program;

TEST(LiftStack, RandomStacksDecideAsTheKernelCombinesThem) {
  const std::uint64_t count = testing::RandomCount(1'000);
  const std::uint64_t seed = testing::RandomSeed();
  testing::ProgramGenerator generator(seed);
  std::uint64_t decided = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    std::vector<Program> filters;
    for (std::uint64_t j = 0; j <= i % 3; ++j) filters.push_back(generator.Valid(60));
    graph::Pool pool;
    const Lifted stack = LiftStack(filters, pool);
    const std::vector<bpf::ProgramView> views(filters.begin(), filters.end());
    for (int j = 0; j < 30; ++j) {
      const abi::CallWords words = abi::WordsOf(
          generator.CallFor(filters[generator.Below(filters.size())]), std::endian::little);
      const std::uint32_t value = graph::Evaluate(pool, stack.root, words);
      if (stack.IsUndecided(value)) continue;
      ++decided;
      ASSERT_EQ(EffectOf(value), EffectOf(bpf::InterpretStack(views, words).ret_value))
          << "seed " << seed << " stack " << i << '\n'
          << bpf::Disassemble(filters[0]);
    }
  }
  EXPECT_GT(decided * 2, count * 30);
}

TEST(LiftStack, NothingIsUndecidedWhereAnotherFilterKills) {
  const Program compares = {{static_cast<std::uint16_t>(Opcode::kLdAbs), 0, 0, 16},
                            {static_cast<std::uint16_t>(Opcode::kTax), 0, 0, 0},
                            {static_cast<std::uint16_t>(Opcode::kLdAbs), 0, 0, 24},
                            {static_cast<std::uint16_t>(Opcode::kJgtX), 0, 1, 0},
                            {static_cast<std::uint16_t>(Opcode::kRetK), 0, 0, 0x7fff0000},
                            {static_cast<std::uint16_t>(Opcode::kRetK), 0, 0, 0x00050001}};
  const Program kills = {{static_cast<std::uint16_t>(Opcode::kRetK), 0, 0, 0x80000000}};
  graph::Pool pool;
  const Program filters[] = {compares, kills};
  const Lifted stack = LiftStack(filters, pool);
  EXPECT_EQ(stack.root, pool.Leaf(0x80000000));
  const Program reversed[] = {kills, compares};
  EXPECT_EQ(LiftStack(reversed, pool).root, pool.Leaf(0x80000000));
}

}  // namespace
}  // namespace callgate::analyse
