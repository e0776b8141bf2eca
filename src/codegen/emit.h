#pragma once

#include <vector>

#include "bpf/program.h"
#include "graph/graph.h"

namespace callgate::codegen {

// The filter that returns what the graph decides, its nodes in this order: all that the root
// reaches, parents before children. One test of the graph is one conditional jump;
// words are loaded only where the accumulator does not hold them. The program may be longer than
// the kernel accepts (bpf::kMaxInstructions).
bpf::Program Emit(const graph::Graph& graph, const std::vector<graph::NodeId>& order);
bpf::Program Emit(const graph::Graph& graph);  // in the plain order

}  // namespace callgate::codegen
