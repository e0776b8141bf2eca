#pragma once

#include "graph/graph.h"

namespace callgate::codegen {

// The same decisions; the question for the architecture is asked only before the leaves where the
// answer matters. See sink_arch.cc.
graph::Graph SinkArch(const graph::Graph& graph);

}  // namespace callgate::codegen
