#include "analyse/bdd.h"

#include <gtest/gtest.h>

#include <random>

#include "analyse/bit_vector.h"

namespace callgate::analyse {
namespace {

bool Holds(const Bdd& bdd, Bdd::Ref ref, std::uint32_t assignment) {
  while (!Bdd::IsTerminal(ref)) {
    ref = (assignment >> bdd.LevelOf(ref) & 1) != 0 ? bdd.High(ref) : bdd.Low(ref);
  }
  return ref == Bdd::kTrue;
}

// A function of four variables is a table of 16 bits; diagrams of two such functions are equal
// exactly if the tables are.
TEST(Bdd, EveryOperationOnRandomFunctionsOfFourVariables) {
  Bdd bdd(UINT64_MAX);
  auto from_table = [&](std::uint32_t table) {
    Bdd::Ref function = Bdd::kFalse;
    for (std::uint32_t row = 0; row < 16; ++row) {
      Bdd::Ref one = (table >> row & 1) != 0 ? Bdd::kTrue : Bdd::kFalse;
      for (Bdd::Level level = 0; level < 4; ++level) {
        const Bdd::Ref variable = bdd.Variable(level);
        one = bdd.And(one, (row >> level & 1) != 0 ? variable : bdd.Not(variable));
      }
      function = bdd.Or(function, one);
    }
    return function;
  };
  std::mt19937_64 random(1);
  for (int round = 0; round < 2'000; ++round) {
    const auto a_table = static_cast<std::uint32_t>(random() & 0xffff);
    const auto b_table = static_cast<std::uint32_t>(random() & 0xffff);
    const Bdd::Ref a = from_table(a_table);
    const Bdd::Ref b = from_table(b_table);
    EXPECT_EQ(bdd.And(a, b), from_table(a_table & b_table));
    EXPECT_EQ(bdd.Or(a, b), from_table(a_table | b_table));
    EXPECT_EQ(bdd.Xor(a, b), from_table(a_table ^ b_table));
    EXPECT_EQ(bdd.Without(a, b), from_table(a_table & ~b_table));
    EXPECT_EQ(bdd.Not(a), from_table(~a_table & 0xffff));
    EXPECT_EQ(bdd.Choose(a, b, bdd.Not(b)), from_table(~(a_table ^ b_table) & 0xffff));
    for (std::uint32_t row = 0; row < 16; ++row) {
      ASSERT_EQ(Holds(bdd, a, row), (a_table >> row & 1) != 0);
    }
  }
}

TEST(Bdd, ProductOfTwoWordsExhaustsItsOperationsAndLaterOnesStillWork) {
  Bdd bdd(100'000);
  const BitVector product =
      Multiply(bdd, WordBits(bdd, 4, UINT32_MAX), WordBits(bdd, 6, UINT32_MAX));
  static_cast<void>(product);
  EXPECT_TRUE(bdd.Exhausted());
  bdd.Refill(100'000);
  const BitVector sum = Add(bdd, WordBits(bdd, 4, UINT32_MAX), ConstantBits(7));
  EXPECT_FALSE(bdd.Exhausted());
  EXPECT_EQ(Subtract(bdd, sum, ConstantBits(7)), WordBits(bdd, 4, UINT32_MAX));
}

}  // namespace
}  // namespace callgate::analyse
