#pragma once

#include "base/error.h"
#include "bpf/program.h"
#include "codegen/compile.h"
#include "graph/graph.h"

namespace callgate {

// The only way from a decision graph to a filter that leaves the library: the program is compiled,
// read back, and proved to decide every call as the graph does. A program for which that fails is
// an internal error that names a call, never a filter.
base::Result<bpf::Program> CompileValidated(graph::Graph source,
                                            const codegen::Options& options = {});

}  // namespace callgate
