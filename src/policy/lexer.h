#pragma once

#include <cstdint>
#include <vector>

#include "base/diagnostic.h"
#include "base/source.h"

namespace callgate::policy {

enum class TokenKind : std::uint8_t {
  kEnd,      // of the file; always last
  kNewline,  // end of a statement; never two in a row
  kName,     // fd, O_RDONLY, sys_read, x86_64
  kAtName,   // @system-service
  kNumber,
  kString,   // with its quotes
  kAddress,  // 10.0.0.0/8, fe80::1
  kIndex,    // [1], right behind a name
  kColon,
  kSemicolon,
  kComma,
  kArrow,
  kLeftParen,
  kRightParen,
  kLeftBrace,
  kRightBrace,
  kEqual,
  kNotEqual,
  kLess,
  kLessEqual,
  kGreater,
  kGreaterEqual,
  kAndAnd,
  kOrOr,
  kBang,
  kAmpersand,
  kPipe,
  kTilde,
  kDot,
  kDotDot,
  kAssign,
  kMinus,
};

struct Token {
  TokenKind kind = TokenKind::kEnd;
  base::Span span;
};

// A comment, with what the printer needs to put it back. `text` excludes the line end.
struct Comment {
  base::Span span;
  bool own_line = false;           // nothing but blanks before it
  bool blank_before = false;       // an empty line above it
  std::uint32_t before_token = 0;  // index of the token that follows it
};

struct TokenList {
  std::vector<Token> tokens;      // ends with kEnd
  std::vector<Comment> comments;  // in file order
  // For each token that begins a statement after an empty line: its index. Sorted.
  std::vector<std::uint32_t> after_blank;
};

// Splits a file into tokens and statements. Bad characters, unfinished strings and malformed
// numbers are reported and left out; a file that is not text gives one error and no tokens.
TokenList Lex(const base::SourceMap& sources, base::FileId file, base::Diagnostics& diagnostics);

}  // namespace callgate::policy
