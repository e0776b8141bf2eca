// A policy for one ABI begins with the question for it, and kills the calls of every other. If it
// also kills the calls it does not name, their path need not ask: whatever the architecture, the
// answer is the same. So the question sinks down to the leaves that answer something else,
//     ld arch; jeq X; ld nr; <search>       becomes       ld nr; <search>; ld arch; jeq X
// Paths to those leaves stay as long as they were, two loads and a test in another order; a killed
// call saves two instructions, and most numbers are killed. The kernel follows both loads when it
// looks for calls that it may let pass for ever (kernel/seccomp.c, seccomp_is_const_allow).
//
// Each further leaf costs two instructions once, because leaves are shared; this is weighed by the
// price of a test in the number search. A graph whose filter may come near the kernel's limit is
// left alone.

#include "codegen/sink_arch.h"

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "abi/arch.h"
#include "abi/call.h"
#include "abi/syscalls.h"
#include "bpf/program.h"
#include "codegen/weights.h"
#include "graph/reach.h"

namespace callgate::codegen {
namespace {

using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Pool;

constexpr std::size_t kQuestion = 2;  // instructions: a load and a test

// Is the time that calls with this answer save worth the instructions?
bool IsWorth(std::size_t instructions, const Pool& pool, NodeId decision, std::uint32_t audit_arch,
             std::uint32_t ret_value) {
  const auto arch = abi::ArchOfCall(audit_arch, 0);
  if (!arch || abi::SyscallsOf(*arch).empty()) return false;
  const std::int32_t first = abi::SyscallsOf(*arch).front().nr;
  const std::int32_t last = abi::SyscallsOf(*arch).back().nr;
  std::uint64_t saved = 0;
  for (std::int32_t nr = first; nr <= last; ++nr) {
    const abi::CallWords words = abi::WordsOf({nr, audit_arch, 0, {}}, std::endian::native);
    if (graph::Evaluate(pool, decision, words) == ret_value) saved += kQuestion;
  }
  const auto numbers = static_cast<std::uint64_t>(last - first) + 1;
  return 64 * saved > instructions * kTestPriceOfNumbers * numbers;
}

}  // namespace

Graph SinkArch(const Graph& graph) {
  const Pool& pool = graph.pool;
  const Node& root = pool[graph.root];
  if (root.is_leaf || root.predicate.word != abi::kArchWord ||
      root.predicate.op != graph::Op::kEqual || !pool[root.no].is_leaf) {
    return graph;
  }
  const std::vector<NodeId> nodes = graph::ReachableFrom(pool, root.yes);
  if (nodes.size() > bpf::kMaxInstructions / 4) return graph;
  if (std::ranges::find(nodes, root.no) == nodes.end()) return graph;
  const auto leaves = static_cast<std::size_t>(
      std::ranges::count_if(nodes, [&](NodeId id) { return pool[id].is_leaf; }));
  const std::uint32_t answer = pool[root.no].ret_value;
  if (leaves < 2 ||
      !IsWorth((leaves - 2) * kQuestion, pool, root.yes, root.predicate.constant, answer)) {
    return graph;
  }

  Graph result;
  std::vector<NodeId> copy(graph.root + 1, 0);
  const NodeId elsewhere = result.pool.Leaf(answer);
  for (const NodeId id : nodes) {
    const Node& node = pool[id];
    copy[id] = node.is_leaf
                   ? result.pool.Test(root.predicate, result.pool.Leaf(node.ret_value), elsewhere)
                   : result.pool.Test(node.predicate, copy[node.yes], copy[node.no]);
  }
  result.root = copy[root.yes];
  return result;
}

}  // namespace callgate::codegen
