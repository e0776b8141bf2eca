#include "policy/cursor.h"

#include <array>
#include <utility>

#include "fmt/format.h"
#include "policy/limits.h"

namespace callgate::policy {
namespace {

// What people write who come from another language.
constexpr std::array<std::pair<std::string_view, std::string_view>, 8> kSlips{{
    {"=", "comparisons are written '=='"},
    {"and", "write '&&'"},
    {"or", "write '||'"},
    {"not", "write '!' before a test, 'not in' before a set"},
    {"return", "an action stands behind '->': `fd == 1 -> errno(EPERM)`"},
    {"{", "an action stands behind '->', a set behind 'in'"},
    {"-", "there is no arithmetic; write the number"},
    {"==", "one comparison at a time; join them with '&&'"},
}};

}  // namespace

bool Cursor::Fail(base::Span span, std::string message, std::string note) {
  auto& error = diagnostics_.Error(span, std::move(message));
  if (!note.empty()) error.notes.push_back({std::move(note), {}});
  return false;
}

bool Cursor::FailExpected(std::string_view what) {
  if (exhausted_) return false;
  if (AtEndOfStatement()) {
    std::uint32_t end = LastSpan().end;
    base::Span span{Peek().span.file, end, end};
    return Fail(span, fmt::format("expected {} before the end of the line", what));
  }
  // A long string would drown the message.
  std::string found(Text().substr(0, 40));
  std::string note;
  for (const auto& [spelling, hint] : kSlips) {
    if (Text() == spelling) note = hint;
  }
  return Fail(Peek().span, fmt::format("expected {}, found '{}'", what, found), std::move(note));
}

void Cursor::SkipClause() {
  int depth = 0;
  while (!AtEndOfStatement()) {
    if (At(TokenKind::kLeftParen) || At(TokenKind::kLeftBrace)) ++depth;
    if (At(TokenKind::kRightParen) || At(TokenKind::kRightBrace)) --depth;
    // A stray closing bracket must not hide the clauses behind it.
    if (At(TokenKind::kSemicolon) && depth <= 0) return;
    Take();
  }
}

void Cursor::SkipStatement() {
  while (!AtEndOfStatement()) Take();
}

bool Cursor::CountNode() {
  if (exhausted_) return false;
  if (++nodes_ <= kMaxNodes) return true;
  exhausted_ = true;
  return Fail(Peek().span,
              fmt::format("this file has more than {} comparisons, names and values", kMaxNodes),
              "reading stopped here; a filter holds 4096 instructions, so most of this cannot be "
              "installed: split it into layers or write ranges");
}

}  // namespace callgate::policy
