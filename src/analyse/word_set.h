#pragma once

#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "analyse/bdd.h"
#include "graph/graph.h"

namespace callgate::analyse {

// Sets of 32-bit words, exactly: whatever tests of one word leave over. Equal sets have equal ids.
class WordSets {
 public:
  using Set = Bdd::Ref;
  static constexpr Set kNone = Bdd::kFalse;
  static constexpr Set kAll = Bdd::kTrue;

  explicit WordSets(std::uint64_t max_operations) : bdd_(max_operations) {}

  // The members for which the predicate holds, and the others. The predicate's word does not
  // matter.
  struct Halves {
    Set yes = kNone;
    Set no = kNone;
  };
  Halves Split(Set set, const graph::Predicate& predicate);
  Set Union(Set a, Set b) { return bdd_.Or(a, b); }
  Set Intersection(Set a, Set b) { return bdd_.And(a, b); }
  Set Only(std::uint32_t word) { return Range(word, word); }
  Set Range(std::uint32_t first, std::uint32_t last);  // both ends belong to it

  bool Contains(Set set, std::uint32_t word) const;
  // The smallest member that is at least `from`.
  std::optional<std::uint32_t> Next(Set set, std::uint32_t from) const;

  // Beyond the operations allowed, sets are no longer what they should be.
  bool Exhausted() const { return bdd_.Exhausted(); }
  std::uint64_t operations() const { return bdd_.operations(); }

 private:
  Set SetOf(const graph::Predicate& predicate);

  Bdd bdd_;
  struct Hash {
    std::size_t operator()(const graph::Predicate& predicate) const;
  };
  std::unordered_map<graph::Predicate, Set, Hash> known_;  // with word 0
};

}  // namespace callgate::analyse
