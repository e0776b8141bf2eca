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
#include <array>
#include <functional>
#include <span>

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

using Calls = std::span<const abi::Syscall>;

// How many of the calls, which are sorted, have numbers below the bound.
std::size_t CountBelow(Calls calls, std::uint64_t bound) {
  auto is_below = [&](const abi::Syscall& call) {
    return static_cast<std::uint32_t>(call.nr) < bound;
  };
  return static_cast<std::size_t>(std::ranges::partition_point(calls, is_below) - calls.begin());
}

// Sends the calls of one ABI down the graph, in bundles: a test of the number cuts a bundle in two.
class Sender {
 public:
  Sender(const Graph& graph, const CallWeights& weights, const abi::Arch& arch,
         std::vector<std::uint64_t>& heat)
      : graph_(graph), weights_(weights), arch_(arch), heat_(heat) {}

  // Adds the weights of the calls to all that they pass, from `id` to where they leave number and
  // ABI behind; returns their sum. Recursion takes at most half of the calls, so it is not deep.
  std::uint64_t Send(NodeId id, Calls calls);

 private:
  struct Bundle {
    NodeId id;
    Calls calls;
  };
  struct Passed {
    NodeId id;
    std::uint64_t sent_before;
  };
  bool Holds(const graph::Predicate& predicate, const abi::Syscall& call) const {
    abi::CallWords words{};
    words[abi::kNrWord] = static_cast<std::uint32_t>(call.nr);
    words[abi::kArchWord] = arch_.audit_arch;
    return predicate.Holds(words);
  }

  const Graph& graph_;
  const CallWeights& weights_;
  const abi::Arch& arch_;
  std::vector<std::uint64_t>& heat_;
  std::vector<Passed> path_;  // of all bundles on their way
};

std::uint64_t Sender::Send(NodeId id, Calls calls) {
  std::uint64_t sent = 0;
  const std::size_t begin = path_.size();
  while (!calls.empty()) {
    path_.push_back({id, sent});
    const Node& node = graph_.pool[id];
    const graph::Predicate& p = node.predicate;
    if (node.is_leaf || p.word > abi::kArchWord) {
      for (const abi::Syscall& call : calls) sent += weights_.OfCall(node, arch_, call.nr);
      break;
    }
    if (p.word == abi::kArchWord || calls.size() == 1) {
      id = Holds(p, calls.front()) ? node.yes : node.no;
    } else if (p.mask == UINT32_MAX && (p.op == Op::kAtLeast || p.op == Op::kEqual)) {
      const bool is_equal = p.op == Op::kEqual;
      const std::size_t below = CountBelow(calls, p.constant);
      const std::size_t not_above = is_equal ? CountBelow(calls, p.constant + 1ULL) : below;
      const std::array<Bundle, 3> parts = {{
          {node.no, calls.first(below)},
          {node.yes, calls.subspan(below, not_above - below)},
          {is_equal ? node.no : node.yes, calls.subspan(not_above)},
      }};
      const auto largest =
          std::ranges::max_element(parts, {}, [](const Bundle& part) { return part.calls.size(); });
      for (const Bundle& part : parts) {
        if (&part != &*largest && !part.calls.empty()) sent += Send(part.id, part.calls);
      }
      id = largest->id;
      calls = largest->calls;
    } else {
      for (std::size_t i = 0; i < calls.size(); ++i) {
        sent += Send(Holds(p, calls[i]) ? node.yes : node.no, calls.subspan(i, 1));
      }
      break;
    }
  }
  for (; path_.size() > begin; path_.pop_back()) {
    heat_[path_.back().id] += sent - path_.back().sent_before;
  }
  return sent;
}

// By id: how many calls come there.
std::vector<std::uint64_t> Heat(const Graph& graph, const std::vector<NodeId>& nodes,
                                const CallWeights& weights) {
  std::vector<std::uint64_t> heat(graph.root + 1, 0);
  for (const NodeId id : nodes) {
    const graph::Predicate& p = graph.pool[id].predicate;
    if (graph.pool[id].is_leaf || p.word != abi::kArchWord || p.op != Op::kEqual) continue;
    for (const abi::Arch& arch : abi::AllArches()) {
      if (arch.audit_arch != p.constant) continue;
      Sender(graph, weights, arch, heat).Send(graph.root, abi::SyscallsOf(arch.id));
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
