#pragma once

#include <vector>

#include "codegen/weights.h"
#include "graph/graph.h"

namespace callgate::codegen {

// An order of the nodes, parents before children. Directly behind a test stands its no-branch, if
// that is not needed farther down.
std::vector<graph::NodeId> PlainLayout(const graph::Graph& graph);

// The same, but directly behind a test stands the branch that more calls take. See layout.cc.
std::vector<graph::NodeId> HotLayout(const graph::Graph& graph, const CallWeights& weights);

}  // namespace callgate::codegen
