#pragma once

#include "analyse/bdd.h"
#include "graph/graph.h"

namespace callgate::analyse {

// The graph that goes to `yes` where the function of the words' bits holds, and to `no` elsewhere.
// Comparisons of a masked word where they are fewer than tests of single bits.
graph::NodeId Express(graph::Pool& pool, const Bdd& bdd, Bdd::Ref function, graph::NodeId yes,
                      graph::NodeId no);

}  // namespace callgate::analyse
