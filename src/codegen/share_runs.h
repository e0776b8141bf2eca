#pragma once

#include "codegen/weights.h"
#include "graph/graph.h"

namespace callgate::codegen {

// The same decisions; where several ABIs of a policy decide the high numbers alike, one search
// serves them all. See share_runs.cc.
graph::Graph ShareRuns(const graph::Graph& graph, const CallWeights& weights);

}  // namespace callgate::codegen
