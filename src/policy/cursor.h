#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/diagnostic.h"
#include "base/source.h"
#include "policy/lexer.h"

namespace callgate::policy {

// Walks the tokens of one file for the parser. Failing calls report once and return false; the
// caller unwinds to its recovery point (the next `;` or the end of the statement).
class Cursor {
 public:
  Cursor(const base::SourceMap& sources, base::FileId file, const TokenList& list,
         base::Diagnostics& diagnostics)
      : text_(sources.text(file)), list_(list), diagnostics_(diagnostics) {}

  const Token& Peek(std::size_t ahead = 0) const {
    std::size_t index = position_ + ahead;
    return list_.tokens[index < list_.tokens.size() ? index : list_.tokens.size() - 1];
  }
  bool At(TokenKind kind) const { return Peek().kind == kind; }
  bool AtWord(std::string_view word) const { return At(TokenKind::kName) && Text() == word; }
  bool AtEndOfStatement() const { return At(TokenKind::kNewline) || At(TokenKind::kEnd); }
  std::string_view Text(std::size_t ahead = 0) const { return Slice(Peek(ahead).span); }
  std::string_view Slice(base::Span span) const {
    return text_.substr(span.begin, span.end - span.begin);
  }
  std::size_t position() const { return position_; }
  // Where the last taken token ended; the begin of the file before that.
  base::Span LastSpan() const {
    return position_ > 0 ? list_.tokens[position_ - 1].span : Peek().span;
  }

  void Take() {
    if (!At(TokenKind::kEnd)) ++position_;
  }
  bool TryTake(TokenKind kind) {
    if (!At(kind)) return false;
    Take();
    return true;
  }
  bool TryTakeWord(std::string_view word) {
    if (!AtWord(word)) return false;
    Take();
    return true;
  }

  // "expected WHAT, found 'x'", with a hint where the slip is a common one.
  bool FailExpected(std::string_view what);
  bool Fail(base::Span span, std::string message, std::string note = {});

  // To the next `;` outside brackets or the end of the statement; takes neither.
  void SkipClause();
  void SkipStatement();

  // Counts one node of the tree; false and one error when the file has too many.
  bool CountNode();
  bool out_of_budget() const { return exhausted_; }

 private:
  std::string_view text_;
  const TokenList& list_;
  base::Diagnostics& diagnostics_;
  std::size_t position_ = 0;
  std::size_t nodes_ = 0;
  bool exhausted_ = false;
};

}  // namespace callgate::policy
