#include "graph/reach.h"

#include <algorithm>
#include <cstdint>
#include <queue>

namespace callgate::graph {

namespace {

// A list of all ids is the quickest where there are few; a large pool may hold much that `root`
// does not reach.
constexpr NodeId kFewNodes = 4096;

std::vector<NodeId> ReachableAmongFew(const Pool& pool, NodeId root) {
  std::vector<std::uint8_t> is_reached(root + 1, 0);  // bits would take longer to pick
  std::vector<NodeId> nodes;
  nodes.reserve(root + 1);
  is_reached[root] = 1;
  for (NodeId id = root + 1; id-- > 0;) {
    if (is_reached[id] == 0) continue;
    nodes.push_back(id);
    if (pool[id].is_leaf) continue;
    is_reached[pool[id].yes] = 1;
    is_reached[pool[id].no] = 1;
  }
  std::ranges::reverse(nodes);
  return nodes;
}

}  // namespace

std::vector<NodeId> ReachableFrom(const Pool& pool, NodeId root) {
  if (root < kFewNodes) return ReachableAmongFew(pool, root);
  // Parents have larger ids: taking the largest id first meets every node after all its parents,
  // and its duplicates in a row.
  std::priority_queue<NodeId> waiting;
  waiting.push(root);
  std::vector<NodeId> nodes;
  while (!waiting.empty()) {
    const NodeId id = waiting.top();
    waiting.pop();
    if (!nodes.empty() && nodes.back() == id) continue;
    nodes.push_back(id);
    if (pool[id].is_leaf) continue;
    waiting.push(pool[id].yes);
    waiting.push(pool[id].no);
  }
  std::ranges::reverse(nodes);
  return nodes;
}

}  // namespace callgate::graph
