#pragma once

#include <vector>

#include "graph/graph.h"

namespace callgate::graph {

// The nodes that can be reached from `root`, by ascending id: children before parents. A pool keeps
// what passes left behind, so only these count. O(n log n) in what is reached, whatever the pool
// holds besides.
std::vector<NodeId> ReachableFrom(const Pool& pool, NodeId root);

}  // namespace callgate::graph
