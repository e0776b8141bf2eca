#pragma once

#include <optional>

#include "policy/ast.h"
#include "policy/type_context.h"
#include "policy/type_value.h"

namespace callgate::policy {

// The register a one-word field names: `ip`, `arg0` … `arg5`, an argument by any of its names, or
// `path` where a call takes exactly one; with `as TYPE` applied. nullopt: reported.
std::optional<Subject> TypeOperand(const TypeContext& context, const ast::Test& test);

// "dfd, filename, flags, mode"; empty if the tables do not know the call's arguments.
std::string ArgumentNames(const TypeContext& context);
// Those a filter can look at: no pointers.
std::string RegisterNames(const TypeContext& context);

bool IsPointer(abi::ArgKind kind);

}  // namespace callgate::policy
