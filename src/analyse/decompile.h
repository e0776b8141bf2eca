#pragma once

#include <cstdint>
#include <string>

#include "analyse/condition.h"
#include "analyse/lift.h"
#include "base/error.h"
#include "graph/graph.h"

namespace callgate::analyse {

// Of a rule with several answers. A clause is asked where none before it holds, so which comes
// first decides what is left to ask.
enum class ClauseOrder : std::uint8_t {
  kMostPermissiveFirst,  // as people write them
  kShortestFirst,        // to say
};

// Policy text for a filter's graph. It reads as the filter where the language has words for what
// the filter does, which the caller must check by compiling it: a policy speaks of ABIs by name, of
// numbers by the tables, and treats all numbers without a name alike, and a filter may do
// otherwise. Fails where that is seen at once, with the reason.
base::Result<std::string> Decompile(graph::Pool& pool, const Lifted& lifted, ClauseOrder order,
                                    Wording wording);

}  // namespace callgate::analyse
