// From a decision diagram of bits to a decision graph of words.
//
// A node of a diagram tests one bit, and so can a node of a graph: the translation always exists.
// But "word >= 1000" would become a dozen tests. So the part of the diagram that looks at one word
// is first read as a step function of (word & the bits it looks at), whose values are the places
// where the part ends; SearchTree turns that into comparisons. If the steps are more than the
// part's nodes (bits that are scattered and combined), it stays as tests of bits.

#include "analyse/express.h"

#include <algorithm>
#include <bit>
#include <functional>
#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "analyse/bit_vector.h"
#include "graph/search_tree.h"
#include "graph/steps.h"

namespace callgate::analyse {
namespace {

using graph::NodeId;

constexpr std::size_t kMaxSteps = 64;
constexpr std::size_t kMaxVisits = kMaxSteps * 64;

class Expression {
 public:
  Expression(graph::Pool& pool, const Bdd& bdd, NodeId yes, NodeId no)
      : pool_(pool), bdd_(bdd), nodes_{{Bdd::kTrue, yes}, {Bdd::kFalse, no}} {}

  // Recursion is as deep as the function has words.
  NodeId Of(Bdd::Ref ref);

 private:
  // The nodes at and below a node that test bits of its word, and where they end.
  struct Part {
    std::uint8_t word = 0;
    std::uint32_t mask = 0;
    std::vector<Bdd::Ref> nodes;  // children first
    std::vector<Bdd::Ref> ends;
  };
  Part PartAt(Bdd::Ref top) const;
  std::optional<NodeId> AsEquality(const Part& part, Bdd::Ref top);
  bool AppendSteps(std::uint32_t open, Bdd::Ref ref, std::uint32_t value, graph::Steps& steps);
  NodeId BitTests(const Part& part, Bdd::Ref top);

  graph::Pool& pool_;
  const Bdd& bdd_;
  std::unordered_map<Bdd::Ref, NodeId> nodes_;
  std::size_t visits_ = 0;
};

Expression::Part Expression::PartAt(Bdd::Ref top) const {
  Part part;
  part.word = WordOfLevel(bdd_.LevelOf(top));
  std::unordered_set<Bdd::Ref> seen = {top};
  std::vector<Bdd::Ref> waiting = {top};
  while (!waiting.empty()) {
    const Bdd::Ref ref = waiting.back();
    waiting.pop_back();
    if (Bdd::IsTerminal(ref) || WordOfLevel(bdd_.LevelOf(ref)) != part.word) {
      part.ends.push_back(ref);
      continue;
    }
    part.mask |= 1U << BitOfLevel(bdd_.LevelOf(ref));
    part.nodes.push_back(ref);
    for (const Bdd::Ref child : {bdd_.Low(ref), bdd_.High(ref)}) {
      if (seen.insert(child).second) waiting.push_back(child);
    }
  }
  std::ranges::sort(part.nodes, std::greater<>(), [&](Bdd::Ref ref) { return bdd_.LevelOf(ref); });
  return part;
}

// One value of the masked word goes one way and all others the other: every node turns off to the
// same end but for one child, the next node.
std::optional<NodeId> Expression::AsEquality(const Part& part, Bdd::Ref top) {
  if (part.ends.size() != 2) return std::nullopt;
  for (const bool is_first : {true, false}) {
    const Bdd::Ref inner = part.ends[is_first ? 0 : 1];
    const Bdd::Ref outer = part.ends[is_first ? 1 : 0];
    std::uint32_t value = 0;
    Bdd::Ref at = top;
    while (at != inner && at != outer) {
      const bool goes_high = bdd_.Low(at) == outer;
      if (!goes_high && bdd_.High(at) != outer) break;
      if (goes_high) value |= 1U << BitOfLevel(bdd_.LevelOf(at));
      at = goes_high ? bdd_.High(at) : bdd_.Low(at);
    }
    if (at != inner) continue;
    return pool_.Test({part.word, graph::Op::kEqual, part.mask, value}, nodes_.at(inner),
                      nodes_.at(outer));
  }
  return std::nullopt;
}

// `open` holds the bits that are not yet part of `value`. False: too many steps. (Different ends
// may have become one node, so few steps need not mean few visits.)
bool Expression::AppendSteps(std::uint32_t open, Bdd::Ref ref, std::uint32_t value,
                             graph::Steps& steps) {
  if (++visits_ > kMaxVisits) return false;
  const auto end = nodes_.find(ref);
  if (end != nodes_.end()) {
    if (steps.empty() || steps.back().node != end->second) steps.push_back({value, end->second});
    return steps.size() <= kMaxSteps;
  }
  const std::uint32_t bit = std::bit_floor(open);
  const bool is_tested = 1U << BitOfLevel(bdd_.LevelOf(ref)) == bit;
  return AppendSteps(open ^ bit, is_tested ? bdd_.Low(ref) : ref, value, steps) &&
         AppendSteps(open ^ bit, is_tested ? bdd_.High(ref) : ref, value | bit, steps);
}

NodeId Expression::BitTests(const Part& part, Bdd::Ref top) {
  for (const Bdd::Ref ref : part.nodes) {
    const std::uint32_t bit = 1U << BitOfLevel(bdd_.LevelOf(ref));
    nodes_[ref] = pool_.Test({part.word, graph::Op::kAnyBit, bit, 0}, nodes_.at(bdd_.High(ref)),
                             nodes_.at(bdd_.Low(ref)));
  }
  return nodes_.at(top);
}

NodeId Expression::Of(Bdd::Ref ref) {
  if (const auto known = nodes_.find(ref); known != nodes_.end()) return known->second;
  const Part part = PartAt(ref);
  for (const Bdd::Ref end : part.ends) Of(end);
  if (const auto equality = AsEquality(part, ref)) return nodes_[ref] = *equality;
  graph::Steps steps;
  visits_ = 0;
  const bool is_short = AppendSteps(part.mask, ref, 0, steps) && steps.size() <= part.nodes.size();
  if (!is_short) return BitTests(part, ref);
  return nodes_[ref] = graph::SearchTree(pool_, part.word, part.mask, steps);
}

}  // namespace

NodeId Express(graph::Pool& pool, const Bdd& bdd, Bdd::Ref function, NodeId yes, NodeId no) {
  if (yes == no) return yes;
  return Expression(pool, bdd, yes, no).Of(function);
}

}  // namespace callgate::analyse
