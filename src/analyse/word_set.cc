#include "analyse/word_set.h"

#include "analyse/bit_vector.h"
#include "analyse/diagram.h"
#include "base/check.h"

namespace callgate::analyse {
namespace {

constexpr std::uint8_t kAnyWord = 0;

bool BitOf(std::uint32_t value, int bit) { return (value >> bit & 1) != 0; }

}  // namespace

std::size_t WordSets::Hash::operator()(const graph::Predicate& p) const {
  std::uint64_t hash = (std::uint64_t{p.mask} << 32 | p.constant) * 0x9e3779b97f4a7c15;
  hash ^= hash >> 29;
  return (hash + static_cast<std::uint64_t>(p.op)) * 0xd6e8feb86659fd93;
}

WordSets::Set WordSets::SetOf(const graph::Predicate& predicate) {
  return WhereHolds(bdd_, predicate);
}

WordSets::Halves WordSets::Split(Set set, const graph::Predicate& predicate) {
  if (set == kNone) return {};
  graph::Predicate key = predicate;
  key.word = kAnyWord;
  const auto [entry, is_new] = known_.try_emplace(key, kNone);
  if (is_new) entry->second = SetOf(key);
  return {bdd_.And(set, entry->second), bdd_.Without(set, entry->second)};
}

WordSets::Set WordSets::Range(std::uint32_t first, std::uint32_t last) {
  if (first == last) return SetOf({kAnyWord, graph::Op::kEqual, UINT32_MAX, first});
  const Set from_first = SetOf({kAnyWord, graph::Op::kAtLeast, UINT32_MAX, first});
  return bdd_.Without(from_first, SetOf({kAnyWord, graph::Op::kGreater, UINT32_MAX, last}));
}

bool WordSets::Contains(Set set, std::uint32_t word) const {
  while (!Bdd::IsTerminal(set)) {
    set = BitOf(word, BitOfLevel(bdd_.LevelOf(set))) ? bdd_.High(set) : bdd_.Low(set);
  }
  return set == kAll;
}

std::optional<std::uint32_t> WordSets::Next(Set set, std::uint32_t from) const {
  // Down the way of `from` as far as it goes, remembering the last place where a larger word turns
  // off: there, the bit of `from` is 0 and the high child is not empty.
  std::optional<std::pair<Set, int>> turn;
  Set at = set;
  for (int bit = 31; bit >= 0 && at != kNone; --bit) {
    const bool is_tested = !Bdd::IsTerminal(at) && BitOfLevel(bdd_.LevelOf(at)) == bit;
    const Set high = is_tested ? bdd_.High(at) : at;
    if (!BitOf(from, bit) && high != kNone) turn = {high, bit};
    at = BitOf(from, bit) ? high : is_tested ? bdd_.Low(at) : at;
  }
  if (at != kNone) return from;
  if (!turn) return std::nullopt;
  const std::uint32_t turned = 1U << turn->second;
  std::uint32_t word = (from & ~(turned - 1)) | turned;
  // Then the smallest: low children where they are not empty. A diagram has no other empty node.
  for (at = turn->first; !Bdd::IsTerminal(at);) {
    const bool take_low = bdd_.Low(at) != kNone;
    if (!take_low) word |= 1U << BitOfLevel(bdd_.LevelOf(at));
    at = take_low ? bdd_.Low(at) : bdd_.High(at);
  }
  CG_CHECK(at == kAll);
  return word;
}

}  // namespace callgate::analyse
