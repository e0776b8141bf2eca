#include "graph/wide.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <set>
#include <vector>

#include "abi/call.h"

namespace callgate::graph {
namespace {

// Host arithmetic: what the doc comment of TestInRanges says, on whole numbers.
std::uint64_t Extend(std::uint64_t raw, const WideValue& value) {
  const int unused = 64 - value.bits;
  if (value.is_signed)
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(raw << unused) >> unused);
  return raw << unused >> unused;
}

bool InRange(std::uint64_t x, const WideRange& range, bool is_signed) {
  if (!is_signed) return range.low <= x && x <= range.high;
  const auto number = static_cast<std::int64_t>(x);
  return static_cast<std::int64_t>(range.low) <= number &&
         number <= static_cast<std::int64_t>(range.high);
}

constexpr int kArg = 2;

WideValue ArgumentOf(std::uint8_t bits, bool is_signed, std::endian order) {
  WideValue value{.low_word = abi::ArgLowWord(kArg, order), .bits = bits, .is_signed = is_signed};
  if (bits > 32) value.high_word = abi::ArgHighWord(kArg, order);
  return value;
}

// Every combination of the halves {0, 1, 2, 2^32-1} and of what lies around sign bits.
std::vector<std::uint64_t> EdgeValues() {
  const std::uint64_t halves[] = {0, 1, 2, 0x7f, 0x80, 0x7fffffff, 0x80000000, 0xffffffff};
  std::vector<std::uint64_t> values;
  for (const std::uint64_t high : halves) {
    for (const std::uint64_t low : halves) values.push_back(high << 32 | low);
  }
  return values;
}

void ExpectMembership(const WideValue& value, std::uint64_t mask, std::vector<WideRange> ranges,
                      std::endian order, const std::vector<std::uint64_t>& inputs) {
  Pool pool;
  const NodeId yes = pool.Leaf(1);
  const NodeId no = pool.Leaf(0);
  const NodeId test = TestInRanges(pool, value, mask, ranges, yes, no);
  for (const std::uint64_t input : inputs) {
    abi::Call call;
    call.args[kArg] = input;
    const std::uint64_t x = Extend(input & mask, value);
    const bool expected = std::ranges::any_of(
        ranges, [&](const WideRange& range) { return InRange(x, range, value.is_signed); });
    ASSERT_EQ(Evaluate(pool, test, abi::WordsOf(call, order)), expected ? 1U : 0U)
        << "bits " << int{value.bits} << (value.is_signed ? " signed" : "") << " mask " << mask
        << " input " << input << " first range " << ranges.front().low << ".."
        << ranges.front().high;
  }
}

TEST(TestInRanges, AgreesWithArithmeticOnEveryRangeBetweenEdges) {
  const std::vector<std::uint64_t> edges = EdgeValues();
  for (const std::endian order : {std::endian::little, std::endian::big}) {
    for (const std::uint8_t bits : std::initializer_list<std::uint8_t>{8, 16, 32, 64}) {
      for (const bool is_signed : {false, true}) {
        const WideValue value = ArgumentOf(bits, is_signed, order);
        for (const std::uint64_t low : edges) {
          for (const std::uint64_t high : edges) {
            ExpectMembership(value, UINT64_MAX, {{Extend(low, value), Extend(high, value)}}, order,
                             edges);
          }
        }
      }
    }
  }
}

TEST(TestInRanges, AgreesWithArithmeticOnMasksAndSetsOfRanges) {
  const std::vector<std::uint64_t> edges = EdgeValues();
  std::mt19937_64 random(64);
  auto edge = [&] { return edges[random() % edges.size()] + random() % 3 - 1; };
  for (int round = 0; round < 20'000; ++round) {
    const std::endian order = random() % 2 == 0 ? std::endian::little : std::endian::big;
    const std::uint8_t widths[] = {1, 8, 16, 31, 32, 33, 63, 64};
    const WideValue value = ArgumentOf(widths[random() % 8], random() % 2 == 0, order);
    const std::uint64_t mask = random() % 2 == 0 ? UINT64_MAX : edge() ^ edge();
    std::vector<WideRange> ranges;
    for (std::size_t i = 0; i < 1 + random() % 5; ++i) {
      // Now and then a range that lies outside what the value can be.
      const std::uint64_t low = random() % 8 == 0 ? edge() : Extend(edge(), value);
      ranges.push_back({low, random() % 3 == 0 ? low : Extend(edge(), value)});
    }
    ExpectMembership(value, mask, ranges, order, edges);
  }
}

TEST(TestInRanges, RegisterPairsReadTheLowHalvesOfTwoArguments) {
  const WideValue pair{.low_word = abi::ArgLowWord(3, std::endian::little),
                       .high_word = abi::ArgLowWord(4, std::endian::little),
                       .bits = 64,
                       .is_signed = true};
  Pool pool;
  const NodeId yes = pool.Leaf(1);
  const NodeId no = pool.Leaf(0);
  const WideRange negative = {pair.Min(), UINT64_MAX};
  const NodeId test = TestInRanges(pool, pair, UINT64_MAX, {&negative, 1}, yes, no);
  abi::Call call;
  call.args[3] = 5;
  call.args[4] = 0x80000000;
  EXPECT_EQ(Evaluate(pool, test, abi::WordsOf(call, std::endian::little)), 1);
  call.args[4] = 0x17fffffff;  // bits above the half are not looked at
  EXPECT_EQ(Evaluate(pool, test, abi::WordsOf(call, std::endian::little)), 0);
}

TEST(TestInRanges, AlternativesShareOneLookAtTheHighWord) {
  const WideValue value = ArgumentOf(64, false, std::endian::little);
  Pool pool;
  const NodeId yes = pool.Leaf(1);
  const NodeId no = pool.Leaf(0);
  const WideRange ranges[] = {{3, 3}, {7, 7}, {100, 200}};
  const NodeId test = TestInRanges(pool, value, UINT64_MAX, ranges, yes, no);
  EXPECT_EQ(pool[test].predicate, (Predicate{9, Op::kEqual, UINT32_MAX, 0}));
  EXPECT_EQ(pool[test].no, no);
}

TEST(TestInRanges, NoRangeIsNever) {
  const WideValue value = ArgumentOf(64, false, std::endian::little);
  Pool pool;
  const NodeId yes = pool.Leaf(1);
  const NodeId no = pool.Leaf(0);
  EXPECT_EQ(TestInRanges(pool, value, UINT64_MAX, {}, yes, no), no);
}

}  // namespace
}  // namespace callgate::graph
