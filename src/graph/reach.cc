#include "graph/reach.h"

#include <algorithm>
#include <queue>

namespace callgate::graph {

std::vector<NodeId> ReachableFrom(const Pool& pool, NodeId root) {
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
