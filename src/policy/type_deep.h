#pragma once

#include <memory>
#include <optional>

#include "policy/ast.h"
#include "policy/type_context.h"
#include "policy/type_operand.h"
#include "policy/typed.h"

namespace callgate::policy {

// Does the test look behind a register: at a string, a field of a structure, the file of a
// descriptor?
bool IsDeep(const TypeContext& context, const ast::Test& test);

// What such a test looks at, for number tests typed like a register of the field's width.
struct DeepOperand {
  DeepSubject subject;
  bool is_number = false;
  Subject number;             // is_number; its argument is `described`
  abi::Argument described{};  // the constants that name values of the field
};
// nullptr: reported.
std::unique_ptr<DeepOperand> TypeDeepOperand(const TypeContext& context, const ast::Test& test);
// The right side of a test that is not about a number. nullopt: reported.
std::optional<DeepTest> TypeDeepText(const TypeContext& context, const ast::Test& test,
                                     const DeepOperand& operand);

}  // namespace callgate::policy
