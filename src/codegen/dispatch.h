#pragma once

#include "codegen/weights.h"
#include "graph/graph.h"

namespace callgate::codegen {

// The same decisions; where several tests of one word by value hang together, they become one
// search tree. See dispatch.cc.
graph::Graph RebuildDispatch(const graph::Graph& graph, const CallWeights& weights);

}  // namespace callgate::codegen
