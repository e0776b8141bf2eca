#include "graph/domain.h"

#include <gtest/gtest.h>

#include <random>
#include <vector>

#include "graph/dump.h"

namespace callgate::graph {
namespace {

constexpr std::uint32_t kWhole = UINT32_MAX;

struct Assumption {
  Predicate predicate;
  bool truth;
};

// 6-bit words, the low half in bits 0..2 and the high half in bits 29..31: few enough to try all.
std::uint32_t Spread(std::uint32_t six_bits) { return (six_bits & 7) | (six_bits >> 3) << 29; }

class RandomAssumptions {
 public:
  explicit RandomAssumptions(std::uint64_t seed) : random_(seed) {}

  Assumption Next() {
    Predicate predicate;
    predicate.op = static_cast<Op>(random_() % 4);
    predicate.mask = random_() % 2 == 0 ? kWhole : Spread(random_() % 64);
    predicate.constant = predicate.op == Op::kAnyBit ? 0 : Spread(random_() % 64);
    return {predicate, random_() % 2 == 0};
  }

 private:
  std::mt19937_64 random_;
};

abi::CallWords WithWord(std::uint32_t value) {
  abi::CallWords words{};
  words[0] = value;
  return words;
}

// The words among all 64 that satisfy the assumptions.
std::vector<std::uint32_t> Satisfying(const std::vector<Assumption>& assumptions) {
  std::vector<std::uint32_t> words;
  for (std::uint32_t i = 0; i < 64; ++i) {
    bool good = true;
    for (const Assumption& a : assumptions) {
      good = good && a.predicate.Holds(WithWord(Spread(i))) == a.truth;
    }
    if (good) words.push_back(Spread(i));
  }
  return words;
}

TEST(Domain, NeverContradictsAWordThatSatisfiesItsFacts) {
  RandomAssumptions random(20261);
  int decided = 0;
  for (int round = 0; round < 20'000; ++round) {
    Domain domain;
    std::vector<Assumption> assumptions;
    bool possible = true;
    for (int i = 0; i < 1 + round % 12 && possible; ++i) {
      assumptions.push_back(random.Next());
      possible = domain.Assume(assumptions.back().predicate, assumptions.back().truth);
    }
    const std::vector<std::uint32_t> words = Satisfying(assumptions);
    if (!possible) {
      ASSERT_TRUE(words.empty()) << "round " << round;
      continue;
    }
    const Predicate question = random.Next().predicate;
    const std::optional<bool> answer = domain.Decide(question);
    if (!answer) continue;
    ++decided;
    for (const std::uint32_t word : words) {
      ASSERT_EQ(question.Holds(WithWord(word)), *answer)
          << "round " << round << ": " << ToString(question, std::endian::little) << " of " << word;
    }
  }
  EXPECT_GT(decided, 2'000);
}

TEST(Domain, JoinHoldsForTheWordsOfBothSides) {
  RandomAssumptions random(20262);
  int decided = 0;
  for (int round = 0; round < 20'000; ++round) {
    std::vector<Assumption> sides[2];
    Domain domains[2];
    bool possible = true;
    for (int side = 0; side < 2; ++side) {
      for (int i = 0; i < 1 + round % 5 && possible; ++i) {
        sides[side].push_back(random.Next());
        possible = domains[side].Assume(sides[side].back().predicate, sides[side].back().truth);
      }
    }
    if (!possible) continue;
    domains[0].Join(domains[1]);
    const Predicate question = random.Next().predicate;
    const std::optional<bool> answer = domains[0].Decide(question);
    if (!answer) continue;
    ++decided;
    for (const auto& side : sides) {
      for (const std::uint32_t word : Satisfying(side)) {
        ASSERT_EQ(question.Holds(WithWord(word)), *answer)
            << "round " << round << ": " << ToString(question, std::endian::little) << " of "
            << word;
      }
    }
  }
  EXPECT_GT(decided, 1'000);
}

TEST(Domain, FactsOfDifferentKindsSharpenEachOther) {
  const Predicate whole_is_5{0, Op::kEqual, kWhole, 5};
  const Predicate at_least_4{0, Op::kAtLeast, kWhole, 4};
  const Predicate at_least_8{0, Op::kAtLeast, kWhole, 8};
  const Predicate bit_0{0, Op::kAnyBit, 1, 0};
  const Predicate bit_1{0, Op::kAnyBit, 2, 0};
  const Predicate bit_2{0, Op::kAnyBit, 4, 0};
  const Predicate two_bits{0, Op::kEqual, 6, 6};
  const struct {
    const char* what;
    std::vector<Assumption> assumptions;
    Predicate question;
    std::optional<bool> answer;
  } cases[] = {
      {"nothing known", {}, whole_is_5, std::nullopt},
      {"another word", {{{1, Op::kEqual, kWhole, 5}, true}}, whole_is_5, std::nullopt},
      {"a value decides its bits", {{whole_is_5, true}}, bit_2, true},
      {"an interval decides its common prefix",
       {{at_least_4, true}, {at_least_8, false}},
       bit_2,
       true},
      {"bits bound the interval", {{{0, Op::kAnyBit, ~7U, 0}, false}}, at_least_8, false},
      {"bits and interval leave one value",
       {{at_least_4, true}, {at_least_8, false}, {bit_0, true}, {bit_1, false}},
       whole_is_5,
       true},
      {"a refuted value stays refuted", {{whole_is_5, false}}, whole_is_5, false},
      {"a refuted end moves the interval",
       {{at_least_4, true}, {{0, Op::kEqual, kWhole, 4}, false}},
       {0, Op::kAtLeast, kWhole, 5},
       true},
      {"a refuted pair of bits with one of them known decides the other",
       {{two_bits, false}, {bit_1, true}},
       bit_2,
       false},
      {"the same question again", {{two_bits, false}}, two_bits, false},
  };
  for (const auto& c : cases) {
    Domain domain;
    for (const Assumption& a : c.assumptions) {
      ASSERT_TRUE(domain.Assume(a.predicate, a.truth)) << c.what;
    }
    EXPECT_EQ(domain.Decide(c.question), c.answer) << c.what;
  }
}

}  // namespace
}  // namespace callgate::graph
