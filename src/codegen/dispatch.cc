// Finds the places where a graph searches for the value of one word, and makes each a good search.
//
// What a region of tests decides is a step function of the word, and the tree for it is built anew
// by SearchTree. The number dispatch is one region per architecture, weighed by what the kernel
// will not cache (weights.h), for size rather than speed on the ABIs that do not come first and
// where there are only a few steps; but "cmd == A || cmd == B || …", or two rules whose ranges
// touch, are regions just as well, so the same pass shortens arguments. There all steps weigh
// alike.
//
// A region that tests the architecture keeps the policy's own order, native first. Building regions
// with a shared tail anew may copy it; where that makes the graph larger by more than a quarter (a
// shorter search may cost that much), it is returned as it was.

#include "codegen/dispatch.h"

#include <vector>

#include "codegen/regions.h"
#include "graph/reach.h"
#include "graph/search_tree.h"

namespace callgate::codegen {
graph::Graph RebuildDispatch(const graph::Graph& graph, const CallWeights& weights) {
  // The root asks for the ABI that the policy names first.
  const graph::Node& root = graph.pool[graph.root];
  const auto main_arch = root.is_leaf || root.predicate.word != abi::kArchWord
                             ? std::optional<std::uint32_t>()
                             : root.predicate.constant;
  const graph::Graph result = ImproveRegions(
      graph,
      [&](graph::Pool& pool, const Region& region,
          const graph::Steps& steps) -> std::optional<graph::NodeId> {
        if (region.word == abi::kArchWord) return std::nullopt;
        if (region.word != abi::kNrWord) {
          return graph::SearchTree(pool, region.word, UINT32_MAX, steps,
                                   {{}, kTestPriceOfArguments});
        }
        const std::vector<std::uint64_t> step_weights = weights.Of(pool, steps, region.arch);
        const bool is_main = !region.arch || !main_arch || region.arch == main_arch;
        std::uint32_t price = is_main ? kTestPriceOfNumbers : kTestPriceOfOtherAbis;
        if (steps.size() <= kFewSteps) price = kTestPriceOfFew;
        return graph::SearchTree(pool, region.word, UINT32_MAX, steps, {step_weights, price});
      });
  const std::size_t before = graph::ReachableFrom(graph.pool, graph.root).size();
  const std::size_t after = graph::ReachableFrom(result.pool, result.root).size();
  return after > before + before / 4 ? graph : result;
}

}  // namespace callgate::codegen
