#include "policy/ranges.h"

#include <algorithm>
#include <utility>

namespace callgate::policy {

Range DomainOf(const Operand& operand) {
  std::uint64_t all = operand.bits >= 64 ? UINT64_MAX : (std::uint64_t{1} << operand.bits) - 1;
  if (!operand.is_signed) return {0, all};
  std::uint64_t highest = all >> 1U;
  return {~highest, highest};
}

RangeSet RangeSet::Of(std::vector<Range> ordinals) {
  std::ranges::sort(ordinals, {}, &Range::low);
  RangeSet set;
  for (const Range& range : ordinals) {
    if (range.low > range.high) continue;
    bool joins = !set.ranges_.empty() && (set.ranges_.back().high == UINT64_MAX ||
                                          range.low <= set.ranges_.back().high + 1);
    if (joins) {
      set.ranges_.back().high = std::max(set.ranges_.back().high, range.high);
    } else {
      set.ranges_.push_back(range);
    }
  }
  return set;
}

RangeSet RangeSet::All(const Operand& operand) {
  Range domain = DomainOf(operand);
  return Of(
      {{OrdinalOf(domain.low, operand.is_signed), OrdinalOf(domain.high, operand.is_signed)}});
}

bool RangeSet::Contains(const RangeSet& other) const {
  auto mine = ranges_.begin();
  for (const Range& range : other.ranges_) {
    while (mine != ranges_.end() && mine->high < range.low) ++mine;
    if (mine == ranges_.end() || mine->low > range.low || mine->high < range.high) return false;
  }
  return true;
}

RangeSet RangeSet::ComplementIn(const RangeSet& domain) const {
  RangeSet result;
  auto mine = ranges_.begin();
  for (Range rest : domain.ranges_) {
    bool used_up = false;
    while (mine != ranges_.end() && mine->high < rest.low) ++mine;
    for (auto it = mine; it != ranges_.end() && it->low <= rest.high; ++it) {
      if (it->low > rest.low) result.ranges_.push_back({rest.low, it->low - 1});
      if (it->high >= rest.high) {
        used_up = true;
        break;
      }
      rest.low = it->high + 1;
      mine = it;
    }
    if (!used_up) result.ranges_.push_back(rest);
  }
  return result;
}

RangeSet RangeSet::Union(const std::vector<RangeSet>& sets) {
  std::vector<Range> all;
  for (const RangeSet& set : sets) all.insert(all.end(), set.ranges_.begin(), set.ranges_.end());
  return Of(std::move(all));
}

}  // namespace callgate::policy
