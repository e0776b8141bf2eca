#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace callgate::graph {

// What is known about one word: bits that are certain, an interval, and values that masked parts of
// it do not have. A sound over-approximation: every word that is possible satisfies the facts.
class WordFacts {
 public:
  // Adds that the predicate is (not) true. False: no word satisfies that together with what was
  // known; the facts are then meaningless.
  [[nodiscard]] bool Assume(const Predicate& predicate, bool truth);
  // Weakens to what holds in both.
  void Join(const WordFacts& other);
  bool IsTop() const { return *this == WordFacts{}; }

  bool operator==(const WordFacts&) const = default;

 private:
  // (word & mask) != constant.
  struct Refuted {
    std::uint32_t mask = 0;
    std::uint32_t constant = 0;
    bool operator==(const Refuted&) const = default;
  };
  // Chains of == on one word refute one value after the other; a few are enough to recognise a test
  // that is asked again. More are forgotten, which is sound.
  static constexpr std::size_t kMaxRefuted = 8;

  enum class Progress : std::uint8_t { kNone, kSome, kContradiction };

  bool Deduce();
  Progress DeduceOnce();
  Progress Apply(const Refuted& refuted);
  void Refute(Refuted refuted);

  std::uint32_t ones_ = 0;   // bits that are set
  std::uint32_t zeros_ = 0;  // bits that are clear
  std::uint32_t low_ = 0;
  std::uint32_t high_ = UINT32_MAX;
  std::uint8_t refuted_count_ = 0;
  std::array<Refuted, kMaxRefuted> refuted_{};
};

// What is known about the words of a call at one place of a graph.
class Domain {
 public:
  // nullopt: both outcomes are possible as far as the facts tell.
  std::optional<bool> Decide(const Predicate& predicate) const;
  // False: cannot happen.
  [[nodiscard]] bool Assume(const Predicate& predicate, bool truth);
  void Join(const Domain& other);

 private:
  struct Entry {
    std::uint8_t word = 0;
    WordFacts facts;
  };
  const WordFacts* Find(std::uint8_t word) const;

  std::vector<Entry> entries_;  // sorted by word; words not here: nothing known
};

}  // namespace callgate::graph
