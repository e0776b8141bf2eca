#pragma once

#include <span>

#include "policy/report.h"
#include "policy/typed.h"

namespace callgate::policy {

// Doubts clauses that never decide: those that contradict themselves and those that earlier clauses
// leave nothing for. Clears the others, so that a clause is doubted only if it is dead for every
// call and ABI of its rule. Exact for tests of one unmasked operand; silent where it cannot tell.
void CheckReach(std::span<const Clause> clauses, Report& report);

}  // namespace callgate::policy
