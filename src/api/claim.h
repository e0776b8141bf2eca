#pragma once

#include <cstdint>
#include <vector>

#include "abi/action.h"
#include "abi/call.h"
#include "callgate/analysis.h"
#include "graph/graph.h"
#include "policy/call_text.h"

namespace callgate {

// What the statements of `prove` about calls of a pattern mean, for everyone who proves them.

// A call is one of the pattern's where all of these hold; each is an Op::kEqual.
std::vector<graph::Predicate> TestsOf(const policy::CallPattern& pattern);

bool Allows(abi::Action action);
// The filter leaves it to somebody who may allow the call.
bool Delegates(abi::Action action);

// The answer is no: the filters return this value for this call, which contradicts.
void Refute(Proof& proof, const abi::Call& call, std::uint32_t ret_value);
// The answer is open: somebody else than the filter has the last word on this call.
void Delegate(Proof& proof, const abi::Call& call, std::uint32_t ret_value);

}  // namespace callgate
