#pragma once

#include <span>
#include <string>

#include "policy/ast.h"

namespace callgate::policy {

// The policy in canonical form: one statement a line while it fits in 100 columns, clauses on lines
// of their own where not, comments and single empty lines kept, brackets only where they are needed
// or help (`&&` inside `||`), numbers as 0o644 and 0xff, no sys_ prefix. Parsing the result gives
// the same tree, so printing twice changes nothing.
std::string Print(const ast::File& file);

// Parts, on one line.
std::string Print(const ast::Expr& expr);
std::string Print(const ast::Clause& clause);
std::string Print(const ast::Value& value);
std::string Print(const ast::Event& event);
// {"addr", "ip"} → "addr.ip", {"argv", "[1]"} → "argv[1]".
std::string PrintField(std::span<const std::string> field);

}  // namespace callgate::policy
