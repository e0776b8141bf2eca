// A region begins at a test of a word by value that is the root or has a parent of another kind.
// Regions may share a tail: the number dispatch of two ABIs, or two rules with the same last
// alternatives. Each region is improved on its own, so what they shared may come apart; whoever
// improves must weigh that (dispatch.cc compares the sizes of the whole graphs).

#include "codegen/regions.h"

#include <algorithm>
#include <vector>

#include "graph/arch_at.h"
#include "graph/reach.h"

namespace callgate::codegen {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Pool;

bool IsValueTest(const Node& node) {
  return !node.is_leaf && graph::TestsValueOf(node, node.predicate.word);
}

bool InOneRegion(const Node& parent, const Node& child) {
  return IsValueTest(parent) && graph::TestsValueOf(child, parent.predicate.word);
}

// By id: does a region begin there?
std::vector<bool> Entries(const Graph& graph, const std::vector<NodeId>& nodes) {
  std::vector<bool> is_entry(graph.root + 1, false);
  is_entry[graph.root] = IsValueTest(graph.pool[graph.root]);
  for (const NodeId id : nodes) {
    const Node& node = graph.pool[id];
    if (node.is_leaf) continue;
    for (const NodeId child : {node.yes, node.no}) {
      const Node& target = graph.pool[child];
      if (IsValueTest(target) && !InOneRegion(node, target)) is_entry[child] = true;
    }
  }
  return is_entry;
}

Region RegionAt(const Pool& pool, NodeId entry, std::optional<std::uint32_t> arch) {
  const std::uint8_t word = pool[entry].predicate.word;
  return {word, graph::StepsOf(pool, entry, word), arch};
}

}  // namespace

std::size_t CountValueTests(const Pool& pool, NodeId entry, std::uint8_t word) {
  std::vector<NodeId> waiting = {entry};
  std::vector<NodeId> seen;
  while (!waiting.empty()) {
    const NodeId id = waiting.back();
    waiting.pop_back();
    if (!graph::TestsValueOf(pool[id], word)) continue;
    seen.push_back(id);
    // A tree meets each node once. Shared ones are met again and sorted out below; to keep that
    // from growing beyond measure, they are sorted out on the way too.
    if (seen.size() > pool.size()) {
      std::ranges::sort(seen);
      seen.erase(std::ranges::unique(seen).begin(), seen.end());
    }
    waiting.push_back(pool[id].yes);
    waiting.push_back(pool[id].no);
  }
  std::ranges::sort(seen);
  return static_cast<std::size_t>(std::ranges::unique(seen).begin() - seen.begin());
}

std::vector<Region> RegionsOf(const Graph& graph) {
  const std::vector<NodeId> nodes = graph::ReachableFrom(graph.pool, graph.root);
  const std::vector<std::optional<std::uint32_t>> arch_at = graph::ArchAt(graph.pool, nodes);
  const std::vector<bool> is_entry = Entries(graph, nodes);
  std::vector<Region> regions;
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    if (is_entry[nodes[i]]) regions.push_back(RegionAt(graph.pool, nodes[i], arch_at[i]));
  }
  return regions;
}

Graph ImproveRegions(const Graph& graph, const ImproveRegion& improve) {
  const Pool& pool = graph.pool;
  const std::vector<NodeId> nodes = graph::ReachableFrom(pool, graph.root);
  const std::vector<std::optional<std::uint32_t>> arch_at = graph::ArchAt(pool, nodes);
  const std::vector<bool> is_entry = Entries(graph, nodes);
  Graph result;
  // What a node becomes for its own region, and for those who enter a region through it.
  std::vector<NodeId> inside(graph.root + 1, 0);
  std::vector<NodeId> entered(graph.root + 1, 0);
  for (std::size_t i = 0; i < nodes.size(); ++i) {
    const NodeId id = nodes[i];
    const Node& node = pool[id];
    if (node.is_leaf) {
      inside[id] = entered[id] = result.pool.Leaf(node.ret_value);
      continue;
    }
    auto child = [&](NodeId target) {
      return InOneRegion(node, pool[target]) ? inside[target] : entered[target];
    };
    inside[id] = result.pool.Test(node.predicate, child(node.yes), child(node.no));
    entered[id] = inside[id];
    if (!is_entry[id]) continue;
    const Region region = RegionAt(pool, id, arch_at[i]);
    graph::Steps steps = region.before;
    for (graph::Step& step : steps) step.node = entered[step.node];
    if (const auto better = improve(result.pool, region, steps)) entered[id] = *better;
  }
  result.root = entered[graph.root];
  return result;
}

}  // namespace callgate::codegen
