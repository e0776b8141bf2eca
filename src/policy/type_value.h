#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/ast.h"
#include "policy/type_context.h"
#include "policy/typed.h"

namespace callgate::policy {

// What a test compares with: the register and how the tables describe it.
struct Subject {
  Operand operand;
  const abi::Argument* argument = nullptr;  // nullptr: `ip`, or a register the tables do not know
  std::string shown;                        // "argument 'flags' of openat"
};

// Right-hand sides. Types decide widths: a value is read in the operand's own width and sign, and a
// value the operand can never have is an error and not a silent `false`.
//
//   decimal numbers   are quantities: 4294967295 is not -1
//   hexadecimal, octal, binary, names and A|B   are bit patterns: 0xffffffff is -1 for an int
//   negative values   mean their two's complement, in equality and masks of unsigned operands too
//
// Results are sign-extended like the operand's value (typed.h). nullopt: reported.

// For ==, != and elements of a set.
std::optional<std::uint64_t> TypeEqual(const TypeContext& context, const Subject& subject,
                                       const ast::Value& value);
// For <, <=, >, >= and the ends of a range: unsigned operands have no negative values here, and a
// signed one no pattern with the sign bit set.
std::optional<std::uint64_t> TypeOrdered(const TypeContext& context, const Subject& subject,
                                         const ast::Value& value);
// For masks, has, only: the bits, zero-extended.
std::optional<std::uint64_t> TypeMask(const TypeContext& context, const Subject& subject,
                                      const ast::Value& value);
// A set or a range, sorted and merged in the operand's order.
std::optional<std::vector<Range>> TypeSet(const TypeContext& context, const Subject& subject,
                                          const std::vector<ast::SetElement>& set);

}  // namespace callgate::policy
