// Hash-consing and the canonical form of a test.
//
// A test "(word & mask) op constant" can be said in many ways. If each function of a word has one
// spelling, equal decisions become equal ids and the later passes meet few shapes. Two thoughts
// give the canonical form:
//
//  * Every ordering test is an "at least": x > c is x >= c + 1, and "some bit of m" is
//    (x & m) >= 1. So three of the four operators share one path, FromAtLeast, which rounds the
//    constant up to a value that the masked word can take and then picks the cheapest spelling.
//  * In (x & m) >= c, bits of m below the lowest set bit of c cannot matter. Adding them where that
//    completes the mask saves the AND instruction: (x & 0xfffff000) >= 0x2000 is x >= 0x2000.
//    Without them a single bit may be left, which one JSET tests. Else they are all added: then
//    searches that look through one mask keep it, and the accumulator need not be loaded again.
//
// What is left is: ==, >= of a whole word, >= of a masked word, and any-bit; kGreater never. A
// negated form (c == 0) swaps the children instead of asking for a "not" operator.
// Checked exhaustively in graph_test.cc on words of few bits.

#include "graph/graph.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace callgate::graph {
namespace {

constexpr std::uint32_t kWhole = UINT32_MAX;

struct Canonical {
  enum class Kind : std::uint8_t { kNever, kAlways, kTest };
  Kind kind = Kind::kTest;
  Predicate predicate = {};
  bool negated = false;  // the predicate is true where the original is false
};

constexpr std::uint32_t LowestBit(std::uint32_t value) { return value & (~value + 1); }

// The smallest value the masked word can take that is at least `bound`; needs bound <= mask.
std::uint32_t RoundUpToSubmask(std::uint32_t mask, std::uint32_t bound) {
  const std::uint32_t outside = bound & ~mask;
  if (outside == 0) return bound;
  // A bit of the bound that the word cannot have: a higher bit must be raised instead, and then
  // everything below it may be zero. One exists because the mask itself is at least the bound.
  const std::uint32_t below = std::bit_floor(outside) - 1;
  const std::uint32_t raised = LowestBit(mask & ~bound & ~below);
  CG_CHECK(raised != 0);
  return (bound & ~(raised - 1)) | raised;
}

Canonical FromAtLeast(std::uint8_t word, std::uint32_t mask, std::uint32_t constant) {
  if (constant == 0) return {.kind = Canonical::Kind::kAlways};
  if (constant > mask) return {.kind = Canonical::Kind::kNever};
  constant = RoundUpToSubmask(mask, constant);
  const std::uint32_t below = LowestBit(constant) - 1;
  if ((mask | below) == kWhole) {
    if (constant == 1) return {.predicate = {word, Op::kEqual, kWhole, 0}, .negated = true};
    if (constant == kWhole) return {.predicate = {word, Op::kEqual, kWhole, kWhole}};
    return {.predicate = {word, Op::kAtLeast, kWhole, constant}};
  }
  const std::uint32_t deciding = mask & ~below;
  if (constant == LowestBit(deciding)) return {.predicate = {word, Op::kAnyBit, deciding, 0}};
  if (constant == deciding) return {.predicate = {word, Op::kEqual, deciding, deciding}};
  return {.predicate = {word, Op::kAtLeast, mask | below, constant}};
}

Canonical FromEqual(std::uint8_t word, std::uint32_t mask, std::uint32_t constant) {
  if ((constant & ~mask) != 0) return {.kind = Canonical::Kind::kNever};
  if (constant == mask) return FromAtLeast(word, mask, mask);
  if (constant == 0) {
    Canonical result = FromAtLeast(word, mask, 1);
    result.negated = !result.negated;
    return result;
  }
  return {.predicate = {word, Op::kEqual, mask, constant}};
}

Canonical Canonicalise(const Predicate& p) {
  switch (p.op) {
    case Op::kEqual:
      return FromEqual(p.word, p.mask, p.constant);
    case Op::kGreater:
      if (p.constant >= p.mask) return {.kind = Canonical::Kind::kNever};
      return FromAtLeast(p.word, p.mask, p.constant + 1);
    case Op::kAtLeast:
      return FromAtLeast(p.word, p.mask, p.constant);
    case Op::kAnyBit:
      return FromAtLeast(p.word, p.mask, 1);
  }
  CG_CHECK(false);
}

std::size_t HashOf(const Node& node) {
  std::uint64_t hash = 0;
  auto mix = [&](std::uint64_t value) {
    hash = (hash ^ value) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  };
  mix(static_cast<std::uint64_t>(node.is_leaf) << 32 | node.ret_value);
  mix(static_cast<std::uint64_t>(node.predicate.word) << 8 |
      static_cast<std::uint64_t>(node.predicate.op));
  mix(static_cast<std::uint64_t>(node.predicate.mask) << 32 | node.predicate.constant);
  mix(static_cast<std::uint64_t>(node.yes) << 32 | node.no);
  return hash;
}

}  // namespace

NodeId Pool::Intern(const Node& node) {
  CG_CHECK(nodes_.size() < UINT32_MAX - 1);
  if (2 * nodes_.size() >= slots_.size()) Grow();
  std::size_t place = HashOf(node) & (slots_.size() - 1);
  while (slots_[place] != 0) {
    const NodeId id = slots_[place] - 1;
    if (nodes_[id] == node) return id;
    place = (place + 1) & (slots_.size() - 1);
  }
  nodes_.push_back(node);
  slots_[place] = static_cast<NodeId>(nodes_.size());
  return static_cast<NodeId>(nodes_.size() - 1);
}

void Pool::Grow() {
  constexpr std::size_t kFirstSlots = 1024;  // the graphs of most policies need no more
  slots_.assign(std::max(kFirstSlots, 2 * slots_.size()), 0);
  nodes_.reserve(slots_.size() / 2);
  for (std::size_t id = 0; id < nodes_.size(); ++id) {
    std::size_t place = HashOf(nodes_[id]) & (slots_.size() - 1);
    while (slots_[place] != 0) place = (place + 1) & (slots_.size() - 1);
    slots_[place] = static_cast<NodeId>(id + 1);
  }
}

NodeId Pool::Leaf(std::uint32_t ret_value) {
  Node node;
  node.ret_value = ret_value;
  return Intern(node);
}

NodeId Pool::Test(Predicate predicate, NodeId yes, NodeId no) {
  CG_CHECK(predicate.word < 16 && yes < size() && no < size());
  const Canonical canonical = Canonicalise(predicate);
  switch (canonical.kind) {
    case Canonical::Kind::kNever:
      return no;
    case Canonical::Kind::kAlways:
      return yes;
    case Canonical::Kind::kTest:
      break;
  }
  if (yes == no) return yes;
  Node node;
  node.is_leaf = false;
  node.predicate = canonical.predicate;
  node.yes = canonical.negated ? no : yes;
  node.no = canonical.negated ? yes : no;
  return Intern(node);
}

}  // namespace callgate::graph
