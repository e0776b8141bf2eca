// Where a test jumps it costs several times what it costs where it falls through (0.7 to 0.9
// against 0.14 to 0.19 ns on x86_64's JIT, November 2026), so the branch that more calls take
// belongs directly behind its test.
//
// How many calls take a branch is found by sending them: each number of each ABI that the graph
// asks for goes down from the root, as heavy as CallWeights says, until an argument or a leaf
// decides. Of a test of an argument nothing is known, so its calls are halved. A leaf is one RET
// that many tests jump to, and a jump to it is the last one; so a branch that goes on is preferred
// to a leaf, whatever its weight, and RETs stay out of the way.

#include "codegen/layout.h"

#include <algorithm>
#include <functional>

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "graph/reach.h"

namespace callgate::codegen {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Op;

using IsYesHot = std::function<bool(const Node& node)>;

// Depth first, the hot branch last: what was visited last stands directly behind. Iterative: graphs
// may be deep.
std::vector<NodeId> LayOut(const Graph& graph, const IsYesHot& is_yes_hot) {
  enum class Visit : std::uint8_t { kNever, kColdDone, kBothDone };
  std::vector<Visit> visits(graph.root + 1, Visit::kNever);
  std::vector<NodeId> order;  // a node after everything below it
  std::vector<NodeId> path = {graph.root};
  while (!path.empty()) {
    const NodeId id = path.back();
    const Node& node = graph.pool[id];
    auto descend = [&](NodeId child) {
      if (visits[child] == Visit::kNever) path.push_back(child);
    };
    if (visits[id] == Visit::kNever && !node.is_leaf) {
      visits[id] = Visit::kColdDone;
      descend(is_yes_hot(node) ? node.no : node.yes);
    } else if (visits[id] == Visit::kColdDone) {
      visits[id] = Visit::kBothDone;
      descend(is_yes_hot(node) ? node.yes : node.no);
    } else {
      visits[id] = Visit::kBothDone;
      order.push_back(id);
      path.pop_back();
    }
  }
  std::ranges::reverse(order);
  return order;
}

// By id: how many calls come there.
std::vector<std::uint64_t> Heat(const Graph& graph, const std::vector<NodeId>& nodes,
                                const CallWeights& weights) {
  std::vector<std::uint64_t> heat(graph.root + 1, 0);
  // Calls `visit` with what the number passes; returns where it leaves number and ABI behind.
  auto descend = [&](const abi::CallWords& words, auto visit) {
    NodeId id = graph.root;
    while (!graph.pool[id].is_leaf && graph.pool[id].predicate.word <= abi::kArchWord) {
      visit(id);
      id = graph.pool[id].predicate.Holds(words) ? graph.pool[id].yes : graph.pool[id].no;
    }
    return id;
  };
  auto send = [&](std::uint32_t audit_arch, std::int32_t nr) {
    abi::CallWords words{};
    words[abi::kNrWord] = static_cast<std::uint32_t>(nr);
    words[abi::kArchWord] = audit_arch;
    const NodeId end = descend(words, [](NodeId) {});
    const std::uint64_t weight = weights.OfCall(graph.pool[end], audit_arch, nr);
    if (weight == 0) return;  // cached: never runs
    descend(words, [&](NodeId id) { heat[id] += weight; });
    heat[end] += weight;
  };
  for (const NodeId id : nodes) {
    const graph::Predicate& p = graph.pool[id].predicate;
    if (graph.pool[id].is_leaf || p.word != abi::kArchWord || p.op != Op::kEqual) continue;
    for (const abi::Arch& arch : abi::AllArches()) {
      if (arch.audit_arch != p.constant) continue;
      for (const abi::Syscall& syscall : abi::SyscallsOf(arch.id)) {
        send(arch.audit_arch, syscall.nr);
      }
    }
  }
  for (auto id = nodes.rbegin(); id != nodes.rend(); ++id) {
    const Node& node = graph.pool[*id];
    if (node.is_leaf || node.predicate.word <= abi::kArchWord) continue;
    heat[node.yes] += heat[*id] / 2;
    heat[node.no] += heat[*id] / 2;
  }
  return heat;
}

}  // namespace

std::vector<NodeId> PlainLayout(const Graph& graph) {
  return LayOut(graph, [](const Node&) { return false; });
}

std::vector<NodeId> HotLayout(const Graph& graph, const CallWeights& weights) {
  const std::vector<NodeId> nodes = graph::ReachableFrom(graph.pool, graph.root);
  const std::vector<std::uint64_t> heat = Heat(graph, nodes, weights);
  return LayOut(graph, [&](const Node& node) {
    const bool yes_ends = graph.pool[node.yes].is_leaf;
    const bool no_ends = graph.pool[node.no].is_leaf;
    if (yes_ends != no_ends) return no_ends;
    return heat[node.yes] > heat[node.no];
  });
}

}  // namespace callgate::codegen
