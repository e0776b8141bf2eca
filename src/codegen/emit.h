#pragma once

#include "bpf/program.h"
#include "graph/graph.h"

namespace callgate::codegen {

// The filter that returns what the graph decides. One test of the graph is one conditional jump;
// words are loaded only where the accumulator does not hold them. The program may be longer than
// the kernel accepts (bpf::kMaxInstructions).
bpf::Program Emit(const graph::Graph& graph);

}  // namespace callgate::codegen
