#pragma once

#include <string>

#include "analyse/lift.h"
#include "base/error.h"
#include "graph/graph.h"

namespace callgate::analyse {

// Policy text for a filter's graph. It reads as the filter where the language has words for what
// the filter does, which the caller must check by compiling it: a policy speaks of ABIs by name, of
// numbers by the tables, and treats all numbers without a name alike, and a filter may do
// otherwise. Fails where that is seen at once, with the reason.
base::Result<std::string> Decompile(graph::Pool& pool, const Lifted& lifted);

}  // namespace callgate::analyse
