#pragma once

#include "abi/call.h"
#include "policy/typed.h"

namespace callgate::policy {

// Is one predicate true for a call? (Judge, in typed.h, decides the whole policy.)
bool Holds(const Expr& expr, const abi::Call& call);

}  // namespace callgate::policy
