#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "graph/graph.h"

namespace callgate::graph {

// For each of `nodes` (as ReachableFrom gives them) the AUDIT_ARCH that every call that comes there
// has, where there is one such.
std::vector<std::optional<std::uint32_t>> ArchAt(const Pool& pool,
                                                 const std::vector<NodeId>& nodes);

}  // namespace callgate::graph
