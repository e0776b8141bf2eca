#pragma once

#include <span>

#include "analyse/lift.h"
#include "bpf/program.h"
#include "graph/graph.h"

namespace callgate::analyse {

// The decision graph of several filters on one task, oldest first, as the kernel combines them
// (bpf/stack.h): one graph, to be asked like that of one filter. There is at least one filter. Its
// values are the kernel's in their effect (EffectOf); only the data of a kill may differ.
Lifted LiftStack(std::span<const bpf::Program> filters, graph::Pool& pool);

}  // namespace callgate::analyse
