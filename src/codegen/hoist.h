#pragma once

#include "graph/graph.h"

namespace callgate::codegen {

// The same decisions; a test that all alternatives of a rule ask, and whose failure ends the matter
// the same way in all of them, is asked once, in front. See hoist.cc.
graph::Graph HoistCommonTests(const graph::Graph& graph);

}  // namespace callgate::codegen
