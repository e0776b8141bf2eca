#include "analyse/product.h"

#include <gtest/gtest.h>

#include <random>
#include <set>

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "analyse/word_set.h"

namespace callgate::analyse {
namespace {

using graph::NodeId;
using graph::Op;
using graph::Pool;

constexpr std::uint32_t kWhole = UINT32_MAX;

// Tests look at the three lowest bits and at whether any other is set, so words 0..15 stand for
// all.
constexpr std::uint32_t kWordValues = 16;

graph::Predicate RandomPredicate(std::mt19937_64& random, std::uint8_t word) {
  graph::Predicate predicate;
  predicate.word = word;
  predicate.op = static_cast<Op>(random() % 4);
  predicate.mask = random() % 2 == 0 ? kWhole : static_cast<std::uint32_t>(random() % 8);
  predicate.constant = predicate.op == Op::kAnyBit ? 0 : static_cast<std::uint32_t>(random() % 8);
  return predicate;
}

TEST(WordSets, SplitUnionAndNextAgreeWithEnumeration) {
  std::mt19937_64 random(2);
  for (int round = 0; round < 2'000; ++round) {
    WordSets sets(UINT64_MAX);
    WordSets::Set set = WordSets::kAll;
    std::vector<std::pair<graph::Predicate, bool>> history;
    for (int i = 0; i < 4; ++i) {
      const graph::Predicate predicate = RandomPredicate(random, 5);
      const bool truth = random() % 2 == 0;
      history.emplace_back(predicate, truth);
      const WordSets::Halves halves = sets.Split(set, predicate);
      EXPECT_EQ(sets.Union(halves.yes, halves.no), set);
      EXPECT_EQ(sets.Intersection(halves.yes, halves.no), WordSets::kNone);
      set = truth ? halves.yes : halves.no;
    }
    std::set<std::uint32_t> members;
    for (std::uint32_t value = 0; value < kWordValues; ++value) {
      abi::CallWords words{};
      words[5] = value;
      bool is_member = true;
      for (const auto& [predicate, truth] : history) is_member &= predicate.Holds(words) == truth;
      EXPECT_EQ(sets.Contains(set, value), is_member);
      if (is_member) members.insert(value);
    }
    for (std::uint32_t from = 0; from < 8; ++from) {
      const auto next = members.lower_bound(from);
      const auto expected = next == members.end() ? std::nullopt : std::optional(*next);
      EXPECT_EQ(sets.Next(set, from), expected);
    }
  }
}

NodeId RandomGraph(Pool& pool, std::mt19937_64& random, std::size_t size) {
  std::vector<NodeId> nodes = {pool.Leaf(1), pool.Leaf(2), pool.Leaf(3)};
  for (std::size_t i = 0; i < size; ++i) {
    constexpr std::uint8_t kWords[] = {0, 1, 4};
    const auto any = [&] {
      return nodes[nodes.size() - 1 - random() % std::min<std::size_t>(nodes.size(), 6)];
    };
    nodes.push_back(pool.Test(RandomPredicate(random, kWords[random() % 3]), any(), any()));
  }
  return nodes.back();
}

std::uint8_t Classify(std::uint32_t a, std::uint32_t b) { return a == b ? 0 : a < b ? 1 : 2; }

// What is said to meet does, and whatever meets is said to.
TEST(Product, MeetingsOfRandomGraphsAgreeWithEnumeration) {
  std::mt19937_64 random(3);
  for (int round = 0; round < 200; ++round) {
    Pool pool;
    const NodeId a = RandomGraph(pool, random, 3 + random() % 20);
    const NodeId b = RandomGraph(pool, random, 3 + random() % 20);
    const Product product = Multiply(pool, a, b, Classify, true);
    ASSERT_TRUE(product.is_complete);
    for (const Meeting& meeting : product.meetings) {
      const abi::CallWords witness = product.WitnessIn(meeting.region);
      EXPECT_TRUE(product.Contains(meeting.region, witness));
      EXPECT_EQ(Evaluate(pool, a, witness), meeting.a_value);
      EXPECT_EQ(Evaluate(pool, b, witness), meeting.b_value);
      EXPECT_EQ(meeting.kind, Classify(meeting.a_value, meeting.b_value));
    }
    abi::CallWords words{};
    for (words[0] = 0; words[0] < kWordValues; ++words[0]) {
      for (words[1] = 0; words[1] < kWordValues; ++words[1]) {
        for (words[4] = 0; words[4] < kWordValues; ++words[4]) {
          const std::uint32_t a_value = Evaluate(pool, a, words);
          const std::uint32_t b_value = Evaluate(pool, b, words);
          std::set<std::pair<std::uint32_t, std::uint32_t>> met;
          for (const Meeting& meeting : product.meetings) {
            if (product.Contains(meeting.region, words)) {
              met.emplace(meeting.a_value, meeting.b_value);
            }
          }
          std::set<std::pair<std::uint32_t, std::uint32_t>> expected;
          if (a_value != b_value) expected.emplace(a_value, b_value);
          ASSERT_EQ(met, expected) << "round " << round;
        }
      }
    }
  }
}

TEST(Product, WitnessIsACallWithANameWhereThereIsOne) {
  Pool pool;
  const NodeId allow = pool.Leaf(abi::kAllow);
  const NodeId kill = pool.Leaf(abi::kKillProcess);
  const NodeId a = pool.Test({abi::kNrWord, Op::kAtLeast, kWhole, 400}, kill, allow);
  const Product product = Multiply(pool, a, allow, Classify, true);
  ASSERT_EQ(product.meetings.size(), 1);
  const abi::CallWords witness = product.WitnessIn(product.meetings.front().region);
  EXPECT_NE(abi::FindSyscall(abi::NativeArch(), static_cast<std::int32_t>(witness[0])), nullptr);
  EXPECT_GE(witness[0], 400U);
}

TEST(Product, GivesUpAtItsLimitWithoutMeetings) {
  std::mt19937_64 random(4);
  Pool pool;
  const NodeId a = RandomGraph(pool, random, 200);
  const NodeId b = RandomGraph(pool, random, 200);
  const Product product = Multiply(pool, a, b, Classify, true, {.max_steps = 10});
  EXPECT_FALSE(product.is_complete);
  EXPECT_TRUE(product.meetings.empty());
}

}  // namespace
}  // namespace callgate::analyse
