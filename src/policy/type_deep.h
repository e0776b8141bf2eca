#pragma once

#include "policy/ast.h"
#include "policy/type_context.h"

namespace callgate::policy {

// Does the test look behind a register: at a string, a field of a structure, the file of a
// descriptor?
bool IsDeep(const TypeContext& context, const ast::Test& test);

// Checks such a test as far as the language goes (the field exists, the right side has its type)
// and then reports that it needs the supervisor: a filter cannot see memory. Always reports.
void ReportDeep(const TypeContext& context, const ast::Test& test);

}  // namespace callgate::policy
