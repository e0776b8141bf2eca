// Finds the places where a graph searches for the value of one word, and makes each a good search.
//
// What a region of tests decides is a step function of the word, and the tree for it is built anew
// by SearchTree. The number dispatch is one region per architecture, weighed by what the kernel
// will not cache (weights.h), for size rather than speed on the ABIs that do not come first and
// where there are only a few steps; but "cmd == A || cmd == B || …", or two rules whose ranges
// touch, are regions just as well, so the same pass shortens arguments. There all steps weigh
// alike. A list of numbers so sparse that asking for one after the other is shorter than its tree
// buys speed with size; it may be longer by an eighth of the tests of arguments that the filter has
// anyway, else the price of a test is raised.
//
// A region that tests the architecture keeps the policy's own order, native first. Building regions
// with a shared tail anew may copy it; where that makes the graph larger by more than a quarter (a
// shorter search may cost that much), it is returned as it was.

#include "codegen/dispatch.h"

#include <algorithm>
#include <map>
#include <span>
#include <vector>

#include "codegen/regions.h"
#include "graph/reach.h"
#include "graph/search_tree.h"

namespace callgate::codegen {
namespace {

constexpr std::size_t kArgumentsPerNumber = 8;

// How many tests a search takes that asks for one number after the other.
std::size_t ChainLength(const graph::Steps& steps) {
  std::map<graph::NodeId, std::size_t> tests;
  std::size_t all = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const bool is_last = i + 1 == steps.size();
    const bool is_single = !is_last && steps[i + 1].first == steps[i].first + 1;
    const std::size_t count = is_single || is_last || i == 0 ? 1 : 2;
    all += count;
    tests[steps[i].node] += count;
  }
  std::size_t rest = 0;  // what needs no test of its own
  for (const auto& [node, count] : tests) rest = std::max(rest, count);
  return all - rest;
}

graph::NodeId NumberTree(graph::Pool& pool, const graph::Steps& steps,
                         std::span<const std::uint64_t> weights, std::uint32_t price,
                         std::size_t arguments) {
  const std::size_t limit =
      price >= kTestPriceOfFew ? 0 : ChainLength(steps) + arguments / kArgumentsPerNumber;
  for (;; price *= 2) {
    const graph::NodeId tree =
        graph::SearchTree(pool, abi::kNrWord, UINT32_MAX, steps, {weights, price});
    if (price >= kTestPriceOfFew || CountValueTests(pool, tree, abi::kNrWord) <= limit) return tree;
  }
}

}  // namespace

graph::Graph RebuildDispatch(const graph::Graph& graph, const CallWeights& weights) {
  // The root asks for the ABI that the policy names first.
  const graph::Node& root = graph.pool[graph.root];
  const auto main_arch = root.is_leaf || root.predicate.word != abi::kArchWord
                             ? std::optional<std::uint32_t>()
                             : root.predicate.constant;
  const std::vector<graph::NodeId> before = graph::ReachableFrom(graph.pool, graph.root);
  const auto arguments = static_cast<std::size_t>(std::ranges::count_if(before, [&](auto id) {
    return !graph.pool[id].is_leaf && graph.pool[id].predicate.word > abi::kArchWord;
  }));
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
        return NumberTree(pool, steps, step_weights, price, arguments);
      });
  const std::size_t after = graph::ReachableFrom(result.pool, result.root).size();
  return after > before.size() + before.size() / 4 ? graph : result;
}

}  // namespace callgate::codegen
