// Drops tests that are decided by the tests before them.
//
// The obvious way specialises every node for each path that reaches it; on shared graphs that is
// exponential, and even with a memo it copies what was shared. This is a data-flow analysis
// instead. Nodes are taken by descending id, parents first, each with its domain: what holds on
// *all* ways to it. For each of the two edges out of a node, its test's outcome is added, and the
// edge is pulled past every test that is decided *on that edge* ("jump threading") before what is
// known is joined into the node where it ends. A node that no edge reaches any more is gone. Each
// node is visited once and kept at most once, so the result is never larger.
//
// Example: fd in {1, 2} of a 64-bit fd, written as two alternatives,
//     high == 0 ? (low == 1 ? yes : N) : N      with N = high == 0 ? (low == 2 ? yes : no) : no
// becomes high == 0 ? (low == 1 ? yes : low == 2 ? yes : no) : no: each edge to N is pulled past
// it.
//
// Pulling an edge is bounded (kMaxPulled), because a chain of n tests repeated n times would
// otherwise cost n^2; stopping early only leaves a test in place.

#include "graph/simplify.h"

#include <optional>
#include <vector>

#include "graph/domain.h"
#include "graph/reach.h"

namespace callgate::graph {
namespace {

constexpr int kMaxPulled = 1024;

struct Edges {
  NodeId yes = 0;
  NodeId no = 0;
};

NodeId PullPastDecided(const Pool& pool, NodeId target, const Domain& known) {
  for (int pulled = 0; pulled < kMaxPulled && !pool[target].is_leaf; ++pulled) {
    const Node& node = pool[target];
    const std::optional<bool> outcome = known.Decide(node.predicate);
    if (!outcome) break;
    target = *outcome ? node.yes : node.no;
  }
  return target;
}

}  // namespace

Graph Simplify(const Graph& graph) {
  const Pool& pool = graph.pool;
  std::vector<std::optional<Domain>> known(graph.root + 1);  // nullopt: not reached
  std::vector<Edges> edges(graph.root + 1);
  std::vector<NodeId> kept;
  known[graph.root] = Domain{};
  for (NodeId id = graph.root + 1; id-- > 0;) {
    if (!known[id]) continue;
    kept.push_back(id);
    const Node& node = pool[id];
    if (node.is_leaf) continue;
    auto arrive = [&](NodeId target, Domain&& domain) {
      if (pool[target].is_leaf) {
        known[target].emplace();  // nothing is asked there
      } else if (known[target]) {
        known[target]->Join(domain);
      } else {
        known[target] = std::move(domain);
      }
      return target;
    };
    auto follow = [&](NodeId target, bool outcome, Domain domain) -> std::optional<NodeId> {
      if (!domain.Assume(node.predicate, outcome)) return std::nullopt;
      return arrive(PullPastDecided(pool, target, domain), std::move(domain));
    };
    const std::optional<NodeId> yes = follow(node.yes, true, *known[id]);
    const std::optional<NodeId> no = follow(node.no, false, std::move(*known[id]));
    // An outcome that cannot happen may lead anywhere. If neither can, no call comes here and the
    // facts were too weak to say so; any existing node will do.
    const NodeId fallback = yes ? *yes : no ? *no : arrive(node.yes, Domain{});
    edges[id] = {yes.value_or(fallback), no.value_or(fallback)};
    known[id].reset();
  }

  Graph result;
  std::vector<NodeId> copy(graph.root + 1, 0);
  for (auto id = kept.rbegin(); id != kept.rend(); ++id) {
    const Node& node = pool[*id];
    copy[*id] = node.is_leaf
                    ? result.pool.Leaf(node.ret_value)
                    : result.pool.Test(node.predicate, copy[edges[*id].yes], copy[edges[*id].no]);
  }
  result.root = copy[graph.root];
  return result;
}

}  // namespace callgate::graph
