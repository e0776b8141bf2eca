#pragma once

#include "graph/graph.h"

namespace callgate::graph {

// The same decisions with fewer tests: those that the tests above them have already decided are
// jumped over or dropped. Never more nodes than before. Linear in practice, see simplify.cc.
Graph Simplify(const Graph& graph);

}  // namespace callgate::graph
