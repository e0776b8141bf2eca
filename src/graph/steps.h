#pragma once

#include <cstdint>
#include <vector>

#include "graph/graph.h"

namespace callgate::graph {

// A decision by the value of one word: from `first` up to the next step's `first` - 1 (the last
// one: up to the largest value) the decision is `node`.
struct Step {
  std::uint32_t first = 0;
  NodeId node = 0;

  bool operator==(const Step&) const = default;
};
// Sorted by `first`; the first one starts at 0.
using Steps = std::vector<Step>;

// Is this a test of a whole word by value, the kind that steps are made of?
inline bool TestsValueOf(const Node& node, std::uint8_t word) {
  return !node.is_leaf && node.predicate.word == word && node.predicate.mask == UINT32_MAX &&
         (node.predicate.op == Op::kEqual || node.predicate.op == Op::kAtLeast);
}

// What `root` decides by the value of `word` alone: follows tests of that whole word until another
// kind of node is met. Neighbouring steps differ. O(n log^2 n) in the tests followed.
Steps StepsOf(const Pool& pool, NodeId root, std::uint8_t word);

}  // namespace callgate::graph
