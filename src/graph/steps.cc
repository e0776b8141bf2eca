// Reads the decision by one word's value off a graph.
//
// The tests of one word that hang together form a region. From its entry downwards every node gets
// the set of values that arrive there; a test splits the set, an exit (a node of another kind)
// keeps it. Nodes are taken by descending id, so all parents of a node have been seen when its turn
// comes. A chain of n equality tests would cost n^2/2 if sets were copied; so they are moved, one
// value is cut out in O(log n), an ordered cut moves the smaller side node by node, and two sets
// that meet are merged smaller into larger.
//
// Most regions are trees, where every node has one interval and none of that is needed: these are
// walked first, and only if that takes more than kMaxWalk visits the sets are.

#include "graph/steps.h"

#include <algorithm>
#include <functional>
#include <map>
#include <utility>

namespace callgate::graph {
namespace {

// Disjoint closed intervals, first → last.
using Values = std::map<std::uint32_t, std::uint32_t>;

// Takes `value` out of the set; false if it was not there.
bool RemoveValue(Values& values, std::uint32_t value) {
  auto interval = values.upper_bound(value);
  if (interval == values.begin()) return false;
  --interval;
  const auto [first, last] = *interval;
  if (value > last) return false;
  if (first == value) {
    values.erase(interval);
  } else {
    interval->second = value - 1;
  }
  if (value < last) values.emplace(value + 1, last);
  return true;
}

// Leaves the values below `bound` in the set and returns the others.
Values SplitAtLeast(Values& values, std::uint32_t bound) {
  auto cut = values.lower_bound(bound);
  if (cut != values.begin()) {
    const auto straddling = std::prev(cut);
    if (straddling->second >= bound) {
      cut = values.emplace_hint(cut, bound, straddling->second);
      straddling->second = bound - 1;
    }
  }
  // Which side is smaller? Step from both ends at once.
  auto below = values.begin();
  auto above = values.end();
  while (below != cut && above != cut) {
    ++below;
    --above;
  }
  Values moved;
  if (above == cut) {
    while (cut != values.end()) moved.insert(moved.end(), values.extract(cut++));
    return moved;
  }
  while (values.begin() != cut) moved.insert(moved.end(), values.extract(values.begin()));
  std::swap(moved, values);
  return moved;
}

void MergeInto(Values& target, Values&& source) {
  if (target.size() < source.size()) std::swap(target, source);
  target.merge(source);
}

constexpr int kMaxWalk = 4096;

// Walks with the interval of values that arrive, in ascending order; false: too long a walk.
class Walker {
 public:
  Walker(const Pool& pool, std::uint8_t word, Steps& steps)
      : pool_(pool), word_(word), steps_(steps) {}

  bool Visit(NodeId id, std::uint32_t first, std::uint32_t last) {
    if (++visits_ > kMaxWalk) return false;
    const Node& node = pool_[id];
    if (!TestsValueOf(node, word_)) {
      if (steps_.empty() || steps_.back().node != id) steps_.push_back({first, id});
      return true;
    }
    const std::uint32_t c = node.predicate.constant;
    const bool below = c > first;
    if (node.predicate.op == Op::kAtLeast) {
      if (below && !Visit(node.no, first, std::min(last, c - 1))) return false;
      return c > last || Visit(node.yes, std::max(first, c), last);
    }
    if (c < first || c > last) return Visit(node.no, first, last);
    if (below && !Visit(node.no, first, c - 1)) return false;
    if (!Visit(node.yes, c, c)) return false;
    return c == last || Visit(node.no, c + 1, last);
  }

 private:
  const Pool& pool_;
  std::uint8_t word_;
  Steps& steps_;
  int visits_ = 0;  // bounds the depth of recursion too
};

}  // namespace

Steps StepsOf(const Pool& pool, NodeId root, std::uint8_t word) {
  Steps steps;
  if (Walker(pool, word, steps).Visit(root, 0, UINT32_MAX)) return steps;
  steps.clear();
  std::map<NodeId, Values, std::greater<>> arrivals;
  arrivals[root] = {{0, UINT32_MAX}};
  while (!arrivals.empty()) {
    auto arrival = arrivals.extract(arrivals.begin());
    Values values = std::move(arrival.mapped());
    if (values.empty()) continue;
    const Node& node = pool[arrival.key()];
    if (!TestsValueOf(node, word)) {
      for (const auto& [first, last] : values) steps.push_back({first, arrival.key()});
      continue;
    }
    Values yes;
    if (node.predicate.op == Op::kAtLeast) {
      yes = SplitAtLeast(values, node.predicate.constant);
    } else if (RemoveValue(values, node.predicate.constant)) {
      yes = {{node.predicate.constant, node.predicate.constant}};
    }
    MergeInto(arrivals[node.yes], std::move(yes));
    MergeInto(arrivals[node.no], std::move(values));
  }
  std::ranges::sort(steps, {}, &Step::first);
  const auto repeated = std::ranges::unique(steps, {}, &Step::node);
  steps.erase(repeated.begin(), repeated.end());
  return steps;
}

}  // namespace callgate::graph
