#pragma once

#include "base/error.h"
#include "bpf/program.h"
#include "graph/graph.h"

namespace callgate::codegen {

// The filter for a graph, verified as the kernel would. The same graph gives the same bytes. Fails
// when the program is longer than the kernel accepts.
base::Result<bpf::Program> Compile(const graph::Graph& graph);

}  // namespace callgate::codegen
