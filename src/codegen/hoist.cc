// Alternatives over 64-bit arguments ask for the same upper half again and again:
//     (a == 1 && b == 2) || (a == 3 && b == 4)
// compares a's upper half once, since simplification remembers it, but b's in both alternatives. If
// b's upper half is not zero, neither holds, whatever a is; so the question can stand in front:
//     b.high == 0 ? (...) : deny
// and simplification drops it inside.
//
// For each rule's body: every equality that stands in it more than once is tried. Assume it fails:
// if all ways through the body then end in one leaf, it may go to the front. Whether the graph
// becomes smaller shows only after simplification, because a part that another body shares cannot
// forget the question; so the whole result is compared, and the graph returned as it was if nothing
// is gained. Calls that used to be decided before they came to the question have it to answer now:
// one load and one test, for two or more tests fewer in the program.

#include "codegen/hoist.h"

#include <algorithm>
#include <optional>
#include <unordered_map>
#include <vector>

#include "abi/call.h"
#include "graph/reach.h"
#include "graph/simplify.h"

namespace callgate::codegen {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Pool;
using graph::Predicate;

constexpr std::size_t kMaxBody = 256;  // nodes; a larger body is a table, not alternatives

bool TestsArgument(const Node& node) {
  return !node.is_leaf && node.predicate.word > abi::kArchWord;
}

// The leaf in which every way through `nodes` ends when `refuted` fails; nullopt: they differ.
std::optional<NodeId> EndWithout(const Pool& pool, const std::vector<NodeId>& nodes,
                                 const Predicate& refuted) {
  std::unordered_map<NodeId, std::optional<NodeId>> ends;
  for (const NodeId id : nodes) {
    const Node& node = pool[id];
    if (node.is_leaf) {
      ends[id] = id;
    } else if (node.predicate == refuted) {
      ends[id] = ends[node.no];
    } else {
      ends[id] = ends[node.yes] == ends[node.no] ? ends[node.no] : std::nullopt;
    }
  }
  return ends[nodes.back()];
}

struct Hoisted {
  Predicate predicate;
  NodeId otherwise = 0;  // a leaf
};

std::optional<Hoisted> FindCommonTest(const Pool& pool, NodeId body) {
  const std::vector<NodeId> nodes = graph::ReachableFrom(pool, body);
  if (nodes.size() > kMaxBody) return std::nullopt;
  for (auto id = nodes.rbegin(); id != nodes.rend(); ++id) {
    const Node& node = pool[*id];
    if (node.is_leaf || node.predicate.op != graph::Op::kEqual) continue;
    const auto count = std::ranges::count_if(nodes, [&](NodeId other) {
      return !pool[other].is_leaf && pool[other].predicate == node.predicate;
    });
    if (count < 2) continue;
    if (const auto end = EndWithout(pool, nodes, node.predicate)) return {{node.predicate, *end}};
  }
  return std::nullopt;
}

}  // namespace

Graph HoistCommonTests(const Graph& graph) {
  const Pool& pool = graph.pool;
  const std::vector<NodeId> nodes = graph::ReachableFrom(pool, graph.root);
  std::vector<bool> is_body(graph.root + 1, false);
  is_body[graph.root] = TestsArgument(pool[graph.root]);
  for (const NodeId id : nodes) {
    if (pool[id].is_leaf || TestsArgument(pool[id])) continue;
    for (const NodeId child : {pool[id].yes, pool[id].no}) {
      is_body[child] = is_body[child] || TestsArgument(pool[child]);
    }
  }
  std::vector<std::optional<Hoisted>> hoisted(graph.root + 1);
  bool is_any = false;
  for (const NodeId id : nodes) {
    if (is_body[id]) hoisted[id] = FindCommonTest(pool, id);
    is_any = is_any || hoisted[id].has_value();
  }
  if (!is_any) return graph;

  Graph result;
  std::vector<NodeId> copy(graph.root + 1, 0);
  for (const NodeId id : nodes) {
    const Node& node = pool[id];
    copy[id] = node.is_leaf ? result.pool.Leaf(node.ret_value)
                            : result.pool.Test(node.predicate, copy[node.yes], copy[node.no]);
    if (!hoisted[id]) continue;
    // A body that is part of another one too gains a question there that is soon dropped.
    copy[id] = result.pool.Test(hoisted[id]->predicate, copy[id], copy[hoisted[id]->otherwise]);
  }
  result.root = copy[graph.root];
  result = graph::Simplify(result);
  const std::size_t size = graph::ReachableFrom(result.pool, result.root).size();
  return size < nodes.size() ? result : graph;
}

}  // namespace callgate::codegen
