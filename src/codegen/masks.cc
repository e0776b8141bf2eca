// Flag arguments are often ruled as lists of values: personality in {0, 8, 0x20000, 0x20008}. If a
// set holds every combination of the bits of m, then "no bit outside m is set" asks for all of them
// at once, and that is one JSET, which leaves the word in the accumulator for what follows.
//
// For each region of an argument word: the values that decide as 0 does are the set; m grows bit by
// bit from the lowest, as long as all its combinations are in the set. What remains need not care
// about the values that are gone: each goes with the step before it, and neighbours merge. The JSET
// is taken if it pays: fewer tests altogether than the best tree without it.
//
// Combinations around a fixed part ((x & m) == c, c not 0) would need AND, JEQ and a new load, and
// only pay from four values on; such sets were not seen in policies.

#include "codegen/masks.h"

#include <algorithm>
#include <bit>

#include "abi/call.h"
#include "codegen/regions.h"
#include "graph/search_tree.h"

namespace callgate::codegen {
namespace {

using graph::NodeId;
using graph::Pool;
using graph::Steps;

constexpr int kMaxBits = 6;  // 64 combinations

NodeId DecisionFor(const Steps& steps, std::uint32_t value) {
  return std::prev(std::ranges::upper_bound(steps, value, {}, &graph::Step::first))->node;
}

// Calls `visit` with each combination of the mask's bits until it says no.
template <typename Visit>
bool AllCombinations(std::uint32_t mask, Visit visit) {
  std::uint32_t value = 0;
  do {
    if (!visit(value)) return false;
    value = (value - mask) & mask;
  } while (value != 0);
  return true;
}

std::uint32_t LargestMask(const Steps& steps) {
  const NodeId node = steps.front().node;
  std::uint32_t mask = 0;
  for (int bit = 0; bit < 32 && std::popcount(mask) < kMaxBits; ++bit) {
    const std::uint32_t wider = mask | std::uint32_t{1} << bit;
    if (AllCombinations(wider, [&](std::uint32_t v) { return DecisionFor(steps, v) == node; })) {
      mask = wider;
    }
  }
  return mask;
}

// The steps when the combinations of `mask` have been answered.
Steps Without(const Steps& steps, std::uint32_t mask) {
  Steps rest;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::uint64_t end = i + 1 < steps.size() ? steps[i + 1].first : std::uint64_t{1} << 32;
    bool is_gone = end - steps[i].first <= std::uint64_t{1} << kMaxBits;
    for (std::uint64_t value = steps[i].first; is_gone && value < end; ++value) {
      is_gone = (value & ~mask) == 0;
    }
    if (is_gone) continue;
    if (rest.empty() || rest.back().node != steps[i].node) rest.push_back(steps[i]);
  }
  if (!rest.empty()) rest.front().first = 0;
  return rest;
}

}  // namespace

graph::Graph TestByMask(const graph::Graph& graph) {
  return ImproveRegions(
      graph, [](Pool& pool, const Region& region, const Steps& steps) -> std::optional<NodeId> {
        if (region.word <= abi::kArchWord || steps.size() < 4) return std::nullopt;
        const std::uint32_t mask = LargestMask(steps);
        if (std::popcount(mask) < 2) return std::nullopt;
        const Steps rest = Without(steps, mask);
        const NodeId tree = rest.empty() ? steps.front().node
                                         : graph::SearchTree(pool, region.word, UINT32_MAX, rest);
        const NodeId plain = graph::SearchTree(pool, region.word, UINT32_MAX, steps);
        if (1 + CountValueTests(pool, tree, region.word) >=
            CountValueTests(pool, plain, region.word)) {
          return std::nullopt;
        }
        return pool.Test({region.word, graph::Op::kAnyBit, ~mask, 0}, tree, steps.front().node);
      });
}

}  // namespace callgate::codegen
