#pragma once

#include <optional>

#include "abi/call.h"
#include "policy/typed.h"

namespace callgate::policy {

// Is one predicate true for a call? (Judge, in typed.h, decides the whole policy.) Without `look`
// the answer is nullopt where it depends on what is behind a register.
std::optional<bool> Holds(const Expr& expr, const abi::Call& call,
                          const LookFunction& look = nullptr);

// Does any test of it look behind a register?
bool LooksDeep(const Expr& expr);

}  // namespace callgate::policy
