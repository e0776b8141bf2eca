#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "graph/graph.h"

namespace callgate::graph {

// A number of 1 to 64 bits in the words of a call. Up to 32 bits it is the low end of one word;
// wider ones have a second word with the bits from 32 up.
struct WideValue {
  std::uint8_t low_word = 0;
  std::optional<std::uint8_t> high_word = {};  // exactly when bits > 32
  std::uint8_t bits = 64;
  bool is_signed = false;

  // The least and the greatest value, sign-extended to 64 bits if signed.
  std::uint64_t Min() const;
  std::uint64_t Max() const;
};

// Inclusive, ordered as the value is; values as Min() and Max() give them. A range that is empty
// (low > high) or lies outside what the value can be contributes nothing.
struct WideRange {
  std::uint64_t low = 0;
  std::uint64_t high = 0;
};

// Is (value & mask) in any of the ranges? The mask is applied within the value's width and the
// result is read as signed if the value is. Ranges may overlap and come in any order.
NodeId TestInRanges(Pool& pool, const WideValue& value, std::uint64_t mask,
                    std::span<const WideRange> ranges, NodeId yes, NodeId no);

}  // namespace callgate::graph
