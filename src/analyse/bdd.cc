// Why decision diagrams of bits.
//
// Two questions decide whether an analysis of filters is exact: is there a word that passes these
// tests and fails those, and what is the set of words for which some arithmetic on them passes a
// test? With masks, ranges, sums and shifts mixed freely both are satisfiability problems.
// Intervals and known bits (graph/domain.h) answer them approximately. As a function of the 32 bits
// of a word every one of them is a small diagram: a comparison with a constant has at most 32
// nodes, a sum with a constant carries one bit from level to level, and the set of numbers of a
// large filter branches at the bits in which its numbers differ. Diagrams are canonical, so "no
// word left" is a comparison with kFalse, "the same set" one of two integers, and a member is read
// off in 32 steps.
//
// Cost. Cutting one value or one range out of a set visits the 32 nodes on its boundary; everything
// beside it is shared. Products of words, and masks in many different positions, can need
// exponentially many nodes, hence the limit on operations: whoever runs into it says "undecided".
//
// Order of variables: a word's highest bit first, as comparisons want it, one word after the other,
// so that a function splits into parts of one word each.
//
// Checked against enumeration of all assignments in bdd_test.cc.

#include "analyse/bdd.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace callgate::analyse {
namespace {

constexpr std::size_t kFirstTableSize = 1U << 10;

std::uint32_t Mix(std::uint32_t a, std::uint32_t b, std::uint32_t c) {
  std::uint64_t hash = (std::uint64_t{a} << 32 | b) * 0x9e3779b97f4a7c15;
  hash ^= hash >> 32;
  hash = (hash + c) * 0xd6e8feb86659fd93;
  return static_cast<std::uint32_t>(hash >> 32);
}

}  // namespace

Bdd::Bdd(std::uint64_t max_operations)
    : nodes_{{}, {}},
      table_(kFirstTableSize, 0),
      cache_(kFirstTableSize),
      max_operations_(max_operations) {}

void Bdd::Grow() {
  table_.assign(table_.size() * 2, 0);
  const std::size_t last = table_.size() - 1;
  for (Ref ref = 2; ref < nodes_.size(); ++ref) {
    const Node& node = nodes_[ref];
    std::size_t slot = Mix(node.level, node.low, node.high) & last;
    while (table_[slot] != 0) slot = (slot + 1) & last;
    table_[slot] = ref;
  }
  // Results are still right, but would be looked for elsewhere.
  if (cache_.size() < table_.size()) cache_.assign(table_.size(), {});
}

Bdd::Ref Bdd::Make(Level level, Ref low, Ref high) {
  if (low == high) return low;
  CG_CHECK(level < nodes_[low].level && level < nodes_[high].level);
  const std::size_t last = table_.size() - 1;
  std::size_t slot = Mix(level, low, high) & last;
  while (table_[slot] != 0) {
    const Node& node = nodes_[table_[slot]];
    if (node.level == level && node.low == low && node.high == high) return table_[slot];
    slot = (slot + 1) & last;
  }
  const auto ref = static_cast<Ref>(nodes_.size());
  nodes_.push_back({level, low, high});
  table_[slot] = ref;
  if (nodes_.size() * 2 > table_.size()) Grow();
  return ref;
}

// Recursion is as deep as there are variables between the root and a terminal.
Bdd::Ref Bdd::Apply(Operator op, Ref a, Ref b) {
  switch (op) {
    case Operator::kAnd:
      if (a == kFalse || b == kFalse) return kFalse;
      if (a == kTrue || a == b) return b;
      if (b == kTrue) return a;
      break;
    case Operator::kOr:
      if (a == kTrue || b == kTrue) return kTrue;
      if (a == kFalse || a == b) return b;
      if (b == kFalse) return a;
      break;
    case Operator::kXor:
      if (a == b) return kFalse;
      if (a == kFalse) return b;
      if (b == kFalse) return a;
      break;
    case Operator::kWithout:
      if (a == kFalse || b == kTrue || a == b) return kFalse;
      if (b == kFalse) return a;
      break;
  }
  if (op != Operator::kWithout && a > b) std::swap(a, b);
  if (++operations_ > max_operations_) return kFalse;
  const std::uint32_t hash = Mix(a, b, static_cast<std::uint32_t>(op));
  const CacheEntry& known = cache_[hash & (cache_.size() - 1)];
  if (known.is_set && known.op == op && known.a == a && known.b == b) return known.result;

  const Node x = nodes_[a];
  const Node y = nodes_[b];
  const Level level = std::min(x.level, y.level);
  const Ref low = Apply(op, x.level == level ? x.low : a, y.level == level ? y.low : b);
  const Ref high = Apply(op, x.level == level ? x.high : a, y.level == level ? y.high : b);
  const Ref result = Make(level, low, high);
  if (!Exhausted()) cache_[hash & (cache_.size() - 1)] = {a, b, op, true, result};
  return result;
}

}  // namespace callgate::analyse
