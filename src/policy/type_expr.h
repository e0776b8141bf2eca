#pragma once

#include <optional>

#include "policy/ast.h"
#include "policy/type_context.h"
#include "policy/typed.h"

namespace callgate::policy {

// A predicate for one call on one ABI. nullopt: something is wrong, and all of it is reported.
std::optional<Expr> TypeExpr(const TypeContext& context, const ast::Expr& expr);

}  // namespace callgate::policy
