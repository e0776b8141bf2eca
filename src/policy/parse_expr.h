#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "policy/ast.h"
#include "policy/cursor.h"

namespace callgate::policy {

// The predicate half of the grammar. All of them report what is wrong and return nullopt; the
// cursor then stands where the mistake is.
//
//   expr    = and { "||" and }
//   and     = unary { "&&" unary }
//   unary   = "!" unary | "(" expr ")" | "0" | "1" | NAME | test
//   test    = field [ "as" TYPE ] [ "&" value ] [ tail ]     tail may also follow "(field & value)"
//   tail    = ( "==" | "!=" | "<" | "<=" | ">" | ">=" | "has" | "only" ) value
//           | [ "not" ] "in" ( set | element )
//           | ( "~" | "under" ) ( value | set )
//   field   = NAME { "." NAME }
//   set     = "{" element { "," element } [ "," ] "}"
//   element = value [ ".." value ]
//   value   = term { "|" term } | "(" value ")"
//   term    = [ "-" ] NUMBER | NAME | STRING | ADDRESS | "dev" "(" NUMBER "," NUMBER ")"
std::optional<ast::Expr> ParseExpr(Cursor& cursor);
std::optional<std::vector<ast::SetElement>> ParseSet(Cursor& cursor);
std::optional<ast::Value> ParseValue(Cursor& cursor);

// The bytes a quoted string means; nullopt and an error for an unknown escape.
std::optional<std::string> ParseString(Cursor& cursor);

}  // namespace callgate::policy
