#pragma once

#include "base/diagnostic.h"
#include "base/source.h"
#include "policy/ast.h"

namespace callgate::policy {

// Reads one policy file; `use` is not followed. All mistakes of the file are reported; statements
// and clauses that have one are left out of the result, so it may be checked further only to find
// more mistakes. Time and memory are linear in the file's size.
//
//   file      = { statement END_OF_STATEMENT }
//   statement = setting | use | let | group | rule
//   setting   = "arch" ":" NAME { "," NAME } | ( "default" | "unknown" | "bad_arch" ) ":" action
//             | "as_of" ":" "linux" VERSION | "on_next_syscall" ":" ( "0" | "1" )
//   use       = "use" ( STRING | "@" NAME )
//   let       = "let" NAME "=" ( value | set | expr )
//   group     = "group" "@" NAME "=" events
//   rule      = [ "override" | "restrict" ] events ":" clause { ";" clause } | events
//   events    = event { "," event }         event = { PREFIX "." } NAME | "@" NAME
//   clause    = expr [ "->" action ] | "else" "->" action
//   action    = NAME [ "(" value ")" ]
//
// Where a statement ends, see lexer.cc; expressions, see parse_expr.h.
ast::File Parse(const base::SourceMap& sources, base::FileId file, base::Diagnostics& diagnostics);

}  // namespace callgate::policy
