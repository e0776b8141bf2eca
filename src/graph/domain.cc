// Three views of a word that sharpen each other.
//
// Bits, interval and refuted values each say something the others cannot: a mask test fixes bits,
// an ordered test bounds the interval, and a failed equality refutes one value. Deduce() lets them
// talk until nothing changes: a common high prefix of the interval's ends is known bits; known bits
// bound the interval; a refuted value at an end moves the end; a refuted value of which one bit is
// open decides that bit. Each round fixes a bit, moves an end or stops. An end can creep by one
// value a round only past refuted values, of which there are eight, so rounds are few.
//
// Whether a predicate is decided needs no second set of rules: it is true if assuming it false
// contradicts what is known. One set of rules, one place to be wrong. Checked against the
// enumeration of all words of few bits (domain_test.cc).

#include "graph/domain.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace callgate::graph {

bool WordFacts::Assume(const Predicate& p, bool truth) {
  switch (p.op) {
    case Op::kEqual:
      if (truth) {
        if ((p.constant & ~p.mask) != 0) return false;
        ones_ |= p.constant;
        zeros_ |= p.mask & ~p.constant;
      } else if ((p.constant & ~p.mask) == 0) {
        Refute({p.mask, p.constant});
      }
      break;
    case Op::kAnyBit:
      if (truth) {
        Refute({p.mask, 0});
      } else {
        zeros_ |= p.mask;
      }
      break;
    case Op::kGreater:
      if (p.constant == UINT32_MAX) return !truth;
      return Assume({p.word, Op::kAtLeast, p.mask, p.constant + 1}, truth);
    case Op::kAtLeast:
      if (truth) {
        // The masked word is no larger than the word.
        low_ = std::max(low_, p.constant);
        if (((~zeros_ & p.mask)) < p.constant) return false;
      } else {
        if ((ones_ & p.mask) >= p.constant) return false;
        if (p.mask == UINT32_MAX) high_ = std::min(high_, p.constant - 1);
      }
      break;
  }
  return Deduce();
}

void WordFacts::Refute(Refuted refuted) {
  const auto end = refuted_.begin() + refuted_count_;
  if (std::find(refuted_.begin(), end, refuted) != end) return;
  if (refuted_count_ == kMaxRefuted) {
    std::shift_left(refuted_.begin(), refuted_.end(), 1);  // forget the oldest
    --refuted_count_;
  }
  refuted_[refuted_count_++] = refuted;
}

WordFacts::Progress WordFacts::Apply(const Refuted& refuted) {
  if (refuted.mask == UINT32_MAX) {
    if (low_ == high_ && low_ == refuted.constant) return Progress::kContradiction;
    if (low_ == refuted.constant) {
      ++low_;
      return Progress::kSome;
    }
    if (high_ == refuted.constant) {
      --high_;
      return Progress::kSome;
    }
  }
  const std::uint32_t known = ones_ | zeros_;
  if (((ones_ ^ refuted.constant) & known & refuted.mask) != 0) return Progress::kNone;
  const std::uint32_t open = refuted.mask & ~known;
  if (open == 0) return Progress::kContradiction;
  if (!std::has_single_bit(open)) return Progress::kNone;
  ((refuted.constant & open) != 0 ? zeros_ : ones_) |= open;
  return Progress::kSome;
}

WordFacts::Progress WordFacts::DeduceOnce() {
  if (low_ > high_ || (ones_ & zeros_) != 0) return Progress::kContradiction;
  Progress progress = Progress::kNone;
  auto raise = [&](std::uint32_t& fact, std::uint32_t value) {
    if (fact == value) return;
    fact = value;
    progress = Progress::kSome;
  };
  raise(low_, std::max(low_, ones_));
  raise(high_, std::min(high_, ~zeros_));
  if (low_ > high_) return Progress::kContradiction;
  const std::uint32_t differing = low_ ^ high_;
  const std::uint32_t prefix = differing == 0 ? UINT32_MAX : ~(std::bit_floor(differing) * 2 - 1);
  raise(ones_, ones_ | (low_ & prefix));
  raise(zeros_, zeros_ | (~low_ & prefix));
  for (std::size_t i = 0; i < refuted_count_; ++i) {
    const Progress applied = Apply(refuted_[i]);
    if (applied == Progress::kContradiction) return applied;
    if (applied == Progress::kSome) progress = applied;
  }
  return progress;
}

bool WordFacts::Deduce() {
  Progress progress = Progress::kSome;
  while (progress == Progress::kSome) progress = DeduceOnce();
  return progress != Progress::kContradiction;
}

void WordFacts::Join(const WordFacts& other) {
  const WordFacts mine = *this;
  ones_ &= other.ones_;
  zeros_ &= other.zeros_;
  low_ = std::min(low_, other.low_);
  high_ = std::max(high_, other.high_);
  // A value refuted here stays refuted if the other side excludes it by whatever means.
  refuted_ = {};
  refuted_count_ = 0;
  auto keep_common = [&](const WordFacts& from, const WordFacts& in) {
    for (std::size_t i = 0; i < from.refuted_count_; ++i) {
      const Refuted& refuted = from.refuted_[i];
      WordFacts probe = in;
      if (!probe.Assume({0, Op::kEqual, refuted.mask, refuted.constant}, true)) Refute(refuted);
    }
  };
  keep_common(mine, other);
  keep_common(other, mine);
}

const WordFacts* Domain::Find(std::uint8_t word) const {
  const auto entry = std::ranges::lower_bound(entries_, word, {}, &Entry::word);
  return entry != entries_.end() && entry->word == word ? &entry->facts : nullptr;
}

std::optional<bool> Domain::Decide(const Predicate& predicate) const {
  const WordFacts* known = Find(predicate.word);
  if (known == nullptr) return std::nullopt;
  WordFacts if_true = *known;
  if (!if_true.Assume(predicate, true)) return false;
  WordFacts if_false = *known;
  if (!if_false.Assume(predicate, false)) return true;
  return std::nullopt;
}

bool Domain::Assume(const Predicate& predicate, bool truth) {
  auto entry = std::ranges::lower_bound(entries_, predicate.word, {}, &Entry::word);
  if (entry == entries_.end() || entry->word != predicate.word) {
    entry = entries_.insert(entry, {predicate.word, {}});
  }
  return entry->facts.Assume(predicate, truth);
}

void Domain::Join(const Domain& other) {
  std::vector<Entry> joined;
  for (Entry& entry : entries_) {
    const WordFacts* facts = other.Find(entry.word);
    if (facts == nullptr) continue;
    entry.facts.Join(*facts);
    if (!entry.facts.IsTop()) joined.push_back(entry);
  }
  entries_ = std::move(joined);
}

}  // namespace callgate::graph
