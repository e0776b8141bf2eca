// Finds the places where a graph searches for the value of one word, and makes each a good search.
//
// A region is a set of tests of one whole word by value (==, >=) that hang together; its entry is
// reached from elsewhere. What a region decides is a step function of the word, and the tree for it
// is built anew by SearchTree. The number dispatch is one region per architecture; but
// "cmd == A || cmd == B || …", or two rules whose ranges touch, are regions just as well, so the
// same pass shortens arguments.
//
// A region is left as it is where the new tree would not be smaller, if it is short (a chain of
// three costs nothing to speak of) or tests the architecture: there the order is the policy's own,
// native first. Regions may share a tail, and building both anew may copy it; where that makes the
// graph larger by more than a quarter (a shorter search may cost that much), it is returned as it
// was.

#include "codegen/dispatch.h"

#include <set>
#include <vector>

#include "graph/combine.h"
#include "graph/reach.h"
#include "graph/steps.h"

namespace callgate::codegen {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Pool;

constexpr std::size_t kShort = 3;

bool IsValueTest(const Node& node) {
  return !node.is_leaf && graph::TestsValueOf(node, node.predicate.word);
}

bool InOneRegion(const Node& parent, const Node& child) {
  return IsValueTest(parent) && graph::TestsValueOf(child, parent.predicate.word);
}

std::size_t CountTests(const Pool& pool, NodeId entry, std::uint8_t word) {
  std::set<NodeId> seen;
  std::vector<NodeId> waiting = {entry};
  while (!waiting.empty()) {
    const NodeId id = waiting.back();
    waiting.pop_back();
    if (!graph::TestsValueOf(pool[id], word) || !seen.insert(id).second) continue;
    waiting.push_back(pool[id].yes);
    waiting.push_back(pool[id].no);
  }
  return seen.size();
}

}  // namespace

Graph RebuildDispatch(const Graph& graph) {
  const Pool& pool = graph.pool;
  const std::vector<NodeId> nodes = graph::ReachableFrom(pool, graph.root);
  std::vector<bool> is_entry(graph.root + 1, false);
  is_entry[graph.root] = true;
  for (const NodeId id : nodes) {
    const Node& node = pool[id];
    if (node.is_leaf) continue;
    for (const NodeId child : {node.yes, node.no}) {
      if (!InOneRegion(node, pool[child])) is_entry[child] = true;
    }
  }

  Graph result;
  // What a node becomes for its own region, and for those who enter a region through it.
  std::vector<NodeId> inside(graph.root + 1, 0);
  std::vector<NodeId> entered(graph.root + 1, 0);
  for (const NodeId id : nodes) {
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
    if (!is_entry[id] || !IsValueTest(node)) continue;
    const std::uint8_t word = node.predicate.word;
    graph::Steps steps = graph::StepsOf(pool, id, word);
    for (graph::Step& step : steps) step.node = entered[step.node];
    const NodeId tree = graph::SearchTree(result.pool, word, UINT32_MAX, steps);
    const std::size_t before = CountTests(result.pool, inside[id], word);
    const std::size_t after = CountTests(result.pool, tree, word);
    const bool keeps_order = word == abi::kArchWord || before <= kShort;
    if (after < before || !keeps_order) entered[id] = tree;
  }
  result.root = entered[graph.root];
  const std::size_t size = graph::ReachableFrom(result.pool, result.root).size();
  if (size > nodes.size() + nodes.size() / 4) return graph;
  return result;
}

}  // namespace callgate::codegen
