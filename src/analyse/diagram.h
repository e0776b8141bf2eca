#pragma once

#include <cstdint>

#include "analyse/bdd.h"
#include "graph/graph.h"

namespace callgate::analyse {

// Where the predicate holds, as a function of its word's bits (LevelOfBit).
Bdd::Ref WhereHolds(Bdd& bdd, const graph::Predicate& predicate);

// Which calls come from `root` to a leaf of this value. Meaningless if the diagrams are exhausted.
Bdd::Ref WhereReturns(Bdd& bdd, const graph::Pool& pool, graph::NodeId root,
                      std::uint32_t ret_value);

}  // namespace callgate::analyse
