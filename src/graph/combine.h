#pragma once

#include <cstdint>
#include <functional>

#include "graph/graph.h"

namespace callgate::graph {

// Copies what `root` decides into `to` (which may be `from`), with every leaf's value replaced.
using LeafMap = std::function<std::uint32_t(std::uint32_t)>;
NodeId CopyMapped(const Pool& from, NodeId root, Pool& to, const LeafMap& value_of);

// The graph whose value for every call is merge(a's value, b's value).
using LeafMerge = std::function<std::uint32_t(std::uint32_t a, std::uint32_t b)>;
NodeId Combine(Pool& pool, NodeId a, NodeId b, const LeafMerge& merge);

// What the kernel makes of two filters on one task: the action with the lowest value as a signed
// number wins, data ignored; on a tie the newer filter's data counts (kernel/seccomp.c,
// seccomp_run_filters).
std::uint32_t StrictestValue(std::uint32_t older, std::uint32_t newer);
Graph StrictestOf(const Graph& older, const Graph& newer);

}  // namespace callgate::graph
