// Comparisons of wide and signed numbers as tests of unsigned 32-bit words.
//
// Every comparison asks whether a number is in a set, and a set of numbers is a list of ranges. So
// there is one case instead of (six operators) x (signed, unsigned) x (widths):
//
//  1. Signed order becomes unsigned order of the raw bits: a range that starts below zero and ends
//     at or above it wraps around, and is cut in two at zero. No bias, no subtraction: cBPF could
//     do them, but they would end the kernel's constant-allow cache and the domain's reasoning.
//  2. A range of 64-bit numbers is cut where the high word changes:
//         [0x1'00000005, 0x4'00000002]  =  high 1: low >= 5;  high 2..3: any low;  high 4: low
//         <= 2.
//     That is a step function of the high word whose steps are step functions of the low word.
//     High first: all alternatives of a set then share one look at the high word, which for most
//     arguments is zero or the end of the matter.
//  3. SearchTree turns step functions into tests.
//
// A mask goes down to the words unchanged: taking words and masking commute, and so does the order.
// Checked by wide_test.cc: all operators x halves in {0, 1, 2, 2^32-1} and neighbours, both byte
// orders, every width, against arithmetic on the host.

#include "graph/wide.h"

#include <algorithm>
#include <vector>

#include "base/check.h"
#include "graph/search_tree.h"
#include "graph/steps.h"

namespace callgate::graph {
namespace {

constexpr std::uint32_t Low(std::uint64_t value) { return static_cast<std::uint32_t>(value); }
constexpr std::uint32_t High(std::uint64_t value) {
  return static_cast<std::uint32_t>(value >> 32);
}

std::uint64_t AllBits(const WideValue& value) { return UINT64_MAX >> (64 - value.bits); }

// The ranges as raw bits in unsigned order: sorted, disjoint, not touching.
std::vector<WideRange> RawRanges(const WideValue& value, std::span<const WideRange> ranges) {
  const std::uint64_t all = AllBits(value);
  // Adding half the number space turns signed order into unsigned order, for comparing here only.
  const std::uint64_t bias = value.is_signed ? std::uint64_t{1} << 63 : 0;
  const std::uint64_t min = value.Min() ^ bias;
  const std::uint64_t max = value.Max() ^ bias;
  std::vector<WideRange> raw;
  for (const WideRange& range : ranges) {
    const std::uint64_t low = std::max(range.low ^ bias, min);
    const std::uint64_t high = std::min(range.high ^ bias, max);
    if (low > high) continue;
    const bool crosses_zero = value.is_signed && low < bias && high >= bias;
    if (crosses_zero) {
      raw.push_back({(low ^ bias) & all, all});
      raw.push_back({0, (high ^ bias) & all});
    } else {
      raw.push_back({(low ^ bias) & all, (high ^ bias) & all});
    }
  }
  std::ranges::sort(raw, {}, &WideRange::low);
  std::vector<WideRange> merged;
  for (const WideRange& range : raw) {
    const bool touches =
        !merged.empty() && (range.low <= merged.back().high || range.low - merged.back().high == 1);
    if (touches) {
      merged.back().high = std::max(merged.back().high, range.high);
    } else {
      merged.push_back(range);
    }
  }
  return merged;
}

// Appends "from `first` on: node", joining equal neighbours.
void AddStep(Steps& steps, std::uint32_t first, NodeId node) {
  if (!steps.empty() && steps.back().first == first) steps.pop_back();
  if (steps.empty() || steps.back().node != node) steps.push_back({first, node});
}

NodeId TestWordInRanges(Pool& pool, std::uint8_t word, std::uint32_t mask,
                        std::span<const WideRange> ranges, NodeId yes, NodeId no) {
  Steps steps = {{0, no}};
  for (const WideRange& range : ranges) {
    AddStep(steps, Low(range.low), yes);
    if (Low(range.high) != UINT32_MAX) AddStep(steps, Low(range.high) + 1, no);
  }
  return SearchTree(pool, word, mask, steps);
}

}  // namespace

std::uint64_t WideValue::Min() const { return is_signed ? ~(AllBits(*this) >> 1) : 0; }
std::uint64_t WideValue::Max() const { return is_signed ? AllBits(*this) >> 1 : AllBits(*this); }

NodeId TestInRanges(Pool& pool, const WideValue& value, std::uint64_t mask,
                    std::span<const WideRange> ranges, NodeId yes, NodeId no) {
  CG_CHECK(value.bits >= 1 && value.bits <= 64 && value.high_word.has_value() == (value.bits > 32));
  mask &= AllBits(value);
  const std::vector<WideRange> raw = RawRanges(value, ranges);
  if (!value.high_word) return TestWordInRanges(pool, value.low_word, Low(mask), raw, yes, no);

  Steps steps = {{0, no}};
  std::vector<WideRange> low_ranges;  // of the high word `current`
  std::uint32_t current = 0;
  auto finish_current = [&] {
    if (low_ranges.empty()) return;
    AddStep(steps, current, TestWordInRanges(pool, value.low_word, Low(mask), low_ranges, yes, no));
    if (current != UINT32_MAX) AddStep(steps, current + 1, no);
    low_ranges.clear();
  };
  auto add_low_range = [&](std::uint32_t high, std::uint32_t first, std::uint32_t last) {
    if (high != current) finish_current();
    current = high;
    low_ranges.push_back({first, last});
  };
  for (const WideRange& range : raw) {
    const std::uint32_t first = High(range.low);
    const std::uint32_t last = High(range.high);
    if (first == last) {
      add_low_range(first, Low(range.low), Low(range.high));
      continue;
    }
    add_low_range(first, Low(range.low), UINT32_MAX);
    if (last - first > 1) {
      finish_current();
      AddStep(steps, first + 1, yes);
      AddStep(steps, last, no);
    }
    add_low_range(last, 0, Low(range.high));
  }
  finish_current();
  return SearchTree(pool, *value.high_word, High(mask), steps);
}

}  // namespace callgate::graph
