#pragma once

#include "graph/graph.h"

namespace callgate::codegen {

// The same decisions; where many values of an argument that decide alike are the combinations of a
// few bits, one JSET asks for them. See masks.cc.
graph::Graph TestByMask(const graph::Graph& graph);

}  // namespace callgate::codegen
