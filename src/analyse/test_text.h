#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "graph/graph.h"

namespace callgate::analyse {

// Whose words are tested.
struct CallName {
  abi::ArchId arch{};
  abi::Signature signature;  // empty: unknown
};

inline constexpr std::uint32_t kWholeWord = UINT32_MAX;

struct Interval {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
};
// Sorted, not adjacent.
using Intervals = std::vector<Interval>;

// A word of the call as an argument's half.
struct Half {
  std::optional<int> slot;  // nullopt: ip
  bool is_high = false;
};

// Tests of single words in the policy language.
class TestText {
 public:
  explicit TestText(const CallName& call) : call_(call), order_(abi::ArchOf(call.arch).endian) {}

  Half HalfOf(std::uint8_t word) const;

  std::string Test(const graph::Predicate& p, bool truth) const;
  // Both are equalities on the halves of one register.
  std::string WideEquality(const graph::Predicate& high, const graph::Predicate& low) const;
  // "word in {1, 5..9}", or the shortest way to say that; the set is neither empty nor everything.
  // With `high`: of the register whose low half the word is, where the high half has that value.
  std::string InSet(std::uint8_t word, const Intervals& set,
                    std::optional<std::uint32_t> high) const;

 private:
  const abi::Argument* ArgumentOf(const Half& half) const;

  const CallName& call_;
  std::endian order_;
};

}  // namespace callgate::analyse
