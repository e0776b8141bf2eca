#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <vector>

#include "graph/graph.h"
#include "graph/steps.h"

namespace callgate::codegen {

// Tests of one whole word by value (==, >=) that hang together, as the step function they are.
struct Region {
  std::uint8_t word = 0;
  graph::Steps before;                // their nodes are in the graph as it was
  std::optional<std::uint32_t> arch;  // AUDIT_ARCH of all calls that come here, if there is one
};

// The regions of a graph, those that others lead to first.
std::vector<Region> RegionsOf(const graph::Graph& graph);

// Copies the graph, from the leaves up; where a region is entered it asks for a better form of it.
// `steps` are region.before with their nodes in the pool being built. nullopt: leave it as it was.
// The form must decide as the steps say.
using ImproveRegion = std::function<std::optional<graph::NodeId>(
    graph::Pool& pool, const Region& region, const graph::Steps& steps)>;
graph::Graph ImproveRegions(const graph::Graph& graph, const ImproveRegion& improve);

// Tests of `word` by value that hang together below `entry`.
std::size_t CountValueTests(const graph::Pool& pool, graph::NodeId entry, std::uint8_t word);

}  // namespace callgate::codegen
