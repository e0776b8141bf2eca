#pragma once

#include <cstdint>
#include <vector>

#include "policy/typed.h"

namespace callgate::policy {

// A set of values of one operand: disjoint ranges, sorted, not adjacent. Kept in *ordinals*:
// signed values with the sign bit flipped, so that plain unsigned order is the operand's order.
class RangeSet {
 public:
  RangeSet() = default;
  // Any order, overlaps allowed. n log n.
  static RangeSet Of(std::vector<Range> ordinals);
  static RangeSet All(const Operand& operand);

  bool empty() const { return ranges_.empty(); }
  const std::vector<Range>& ranges() const { return ranges_; }
  bool Contains(const RangeSet& other) const;
  // What is in `domain` and not in this set.
  RangeSet ComplementIn(const RangeSet& domain) const;
  static RangeSet Union(const std::vector<RangeSet>& sets);

  bool operator==(const RangeSet&) const = default;

 private:
  std::vector<Range> ranges_;
};

constexpr std::uint64_t OrdinalOf(std::uint64_t value, bool is_signed) {
  return is_signed ? value ^ std::uint64_t{1} << 63U : value;
}
// The smallest and the largest value an operand can have, as values.
Range DomainOf(const Operand& operand);

}  // namespace callgate::policy
