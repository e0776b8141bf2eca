// Two decisions made into one.
//
// The textbook way (Bryant's apply) needs both graphs to test in one global order and may square
// their size. These graphs have no order, and the leaves are few: a dozen actions. So b is run
// *after* a: each leaf of a, say errno(1), is replaced by a copy of b in which every leaf v became
// merge(errno(1), v). The result has |a| + |leaves of a| * |b| nodes at most, usually far fewer,
// since the strictest values absorb: merge(kill, v) = kill makes b's copy a single leaf. Simplify
// then drops the questions of b that a has already answered.
//
// Only for the two words on which all filters dispatch, architecture and number, that would be a
// waste: b's search would hang below each of a's leaves. For them both graphs are read as step
// functions, the steps are merged like sorted lists, and each pair of bodies is combined once.

#include "graph/combine.h"

#include <map>
#include <unordered_map>
#include <utility>

#include "base/check.h"
#include "graph/reach.h"
#include "graph/search_tree.h"
#include "graph/steps.h"

namespace callgate::graph {
namespace {

class Combiner {
 public:
  Combiner(Pool& pool, const LeafMerge& merge) : pool_(pool), merge_(merge) {}

  // `depth` words of the dispatch order have been split on already.
  NodeId Run(NodeId a, NodeId b, std::size_t depth);

 private:
  static constexpr std::array<std::uint8_t, 2> kDispatchWords = {abi::kArchWord, abi::kNrWord};

  NodeId Sequence(NodeId a, NodeId b);

  Pool& pool_;
  const LeafMerge& merge_;
  std::map<std::pair<NodeId, NodeId>, NodeId> done_;
};

NodeId Combiner::Run(NodeId a, NodeId b, std::size_t depth) {
  if (depth == kDispatchWords.size()) return Sequence(a, b);
  const std::uint8_t word = kDispatchWords[depth];
  const Steps a_steps = StepsOf(pool_, a, word);
  const Steps b_steps = StepsOf(pool_, b, word);
  Steps merged;
  auto a_step = a_steps.begin();
  auto b_step = b_steps.begin();
  std::uint32_t first = 0;
  while (true) {
    merged.push_back({first, Run(a_step->node, b_step->node, depth + 1)});
    const auto a_next = std::next(a_step);
    const auto b_next = std::next(b_step);
    if (a_next == a_steps.end() && b_next == b_steps.end()) break;
    const bool a_ends =
        b_next == b_steps.end() || (a_next != a_steps.end() && a_next->first <= b_next->first);
    const bool b_ends =
        a_next == a_steps.end() || (b_next != b_steps.end() && b_next->first <= a_next->first);
    if (a_ends) a_step = a_next;
    if (b_ends) b_step = b_next;
    first = a_ends ? a_step->first : b_step->first;
  }
  return RangeTree(pool_, word, merged);
}

NodeId Combiner::Sequence(NodeId a, NodeId b) {
  const auto [entry, is_new] = done_.try_emplace({a, b}, 0);
  if (!is_new) return entry->second;
  std::unordered_map<NodeId, NodeId> result;
  for (const NodeId id : ReachableFrom(pool_, a)) {
    const Node node = pool_[id];
    result[id] =
        node.is_leaf
            ? CopyMapped(pool_, b, pool_,
                         [&](std::uint32_t value) { return merge_(node.ret_value, value); })
            : pool_.Test(node.predicate, result[node.yes], result[node.no]);
  }
  return entry->second = result[a];
}

}  // namespace

NodeId CopyMapped(const Pool& from, NodeId root, Pool& to, const LeafMap& value_of) {
  std::unordered_map<NodeId, NodeId> copy;
  for (const NodeId id : ReachableFrom(from, root)) {
    const Node node = from[id];  // by value: `to` may be `from`, and grows
    copy[id] = node.is_leaf ? to.Leaf(value_of(node.ret_value))
                            : to.Test(node.predicate, copy[node.yes], copy[node.no]);
  }
  return copy[root];
}

NodeId Combine(Pool& pool, NodeId a, NodeId b, const LeafMerge& merge) {
  return Combiner(pool, merge).Run(a, b, 0);
}

std::uint32_t StrictestValue(std::uint32_t older, std::uint32_t newer) {
  constexpr std::uint32_t kActionMask = 0xffff0000;  // SECCOMP_RET_ACTION_FULL
  const auto old_rank = static_cast<std::int32_t>(older & kActionMask);
  const auto new_rank = static_cast<std::int32_t>(newer & kActionMask);
  return old_rank < new_rank ? older : newer;
}

Graph StrictestOf(const Graph& older, const Graph& newer) {
  Graph both;
  auto same = [](std::uint32_t value) { return value; };
  const NodeId a = CopyMapped(older.pool, older.root, both.pool, same);
  const NodeId b = CopyMapped(newer.pool, newer.root, both.pool, same);
  both.root = Combine(both.pool, a, b, StrictestValue);
  return both;
}

}  // namespace callgate::graph
