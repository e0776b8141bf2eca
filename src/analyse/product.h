#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "abi/call.h"
#include "analyse/word_set.h"
#include "graph/graph.h"

namespace callgate::analyse {

// Every call whose words lie in these sets.
struct Region {
  std::array<WordSets::Set, 16> words;

  Region() { words.fill(WordSets::kAll); }
};

// Calls for which graph a returns a_value and graph b returns b_value.
struct Meeting {
  std::uint8_t kind = 0;  // as the caller classified it
  std::uint32_t a_value = 0;
  std::uint32_t b_value = 0;
  Region region;  // not empty
};

// What two decisions on one call amount to: 0 is of no interest, others are kinds of meetings.
using Classify = std::function<std::uint8_t(std::uint32_t a_value, std::uint32_t b_value)>;
inline constexpr std::uint8_t kMeetingKinds = 8;

struct ProductLimits {
  std::uint64_t max_steps = 20'000'000;  // some seconds
  std::size_t max_meetings = 1'000;      // of one kind
};

struct Product {
  WordSets sets;
  // Regions that together hold every call whose meeting is of interest, up to max_meetings of each
  // kind; at least one of a kind that there is. Regions may overlap.
  std::vector<Meeting> meetings;
  // False: max_steps were not enough; there may be other meetings.
  bool is_complete = true;
  std::uint64_t steps = 0;

  explicit Product(std::uint64_t max_operations = 0) : sets(max_operations) {}

  bool Contains(const Region& region, const abi::CallWords& words) const;
  // A call of the region: of a known ABI and a number that has a name there, if it has such a call,
  // and else with the smallest words.
  abi::CallWords WitnessIn(const Region& region) const;
};

// Walks both graphs at once and finds what values meet. Exact. See product.cc.
// `same_is_dull`: Classify(v, v) is 0 for every v, so places where both graphs are one need no
// look.
Product Multiply(const graph::Pool& pool, graph::NodeId a, graph::NodeId b,
                 const Classify& classify, bool same_is_dull, const ProductLimits& limits = {});

}  // namespace callgate::analyse
