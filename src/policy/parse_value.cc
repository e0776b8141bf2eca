#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>

#include "fmt/format.h"
#include "policy/limits.h"
#include "policy/parse_expr.h"

namespace callgate::policy {
namespace {

// Numbers are decimal, 0x hexadecimal, 0b binary or octal. Octal is written 0o644; C's 0644 means
// the same and is printed as 0o644. (Reading it as 644 would turn every file mode people copy from
// C into another mode without a word.)

struct Digits {
  std::uint64_t base = 10;
  std::string_view digits;
  std::string_view prefix;
};

Digits SplitBase(std::string_view text) {
  if (text.starts_with("0x") || text.starts_with("0X")) return {16, text.substr(2), "0x"};
  if (text.starts_with("0b") || text.starts_with("0B")) return {2, text.substr(2), "0b"};
  if (text.starts_with("0o") || text.starts_with("0O")) return {8, text.substr(2), "0o"};
  if (text.size() > 1 && text[0] == '0') return {8, text.substr(1), "0o"};
  return {10, text, ""};
}

std::uint64_t DigitOf(char c) {
  if (c >= '0' && c <= '9') return static_cast<std::uint64_t>(c - '0');
  if (c >= 'a' && c <= 'f') return static_cast<std::uint64_t>(c - 'a') + 10;
  if (c >= 'A' && c <= 'F') return static_cast<std::uint64_t>(c - 'A') + 10;
  return 99;
}

bool ParseNumber(Cursor& cursor, ast::Term& term) {
  std::string_view text = cursor.Text();
  base::Span span = cursor.Peek().span;
  Digits split = SplitBase(text);
  std::string shown(text.substr(0, 40));
  std::uint64_t value = 0;
  bool too_big = false;
  for (char c : split.digits) {
    std::uint64_t digit = DigitOf(c);
    if (digit >= split.base) {
      std::string note;
      if (split.prefix == "0o") note = "a number that begins with 0 is octal, as in C";
      return cursor.Fail(span, fmt::format("'{}' is not a number", shown), note);
    }
    if (value > (std::numeric_limits<std::uint64_t>::max() - digit) / split.base) too_big = true;
    value = value * split.base + digit;
  }
  if (split.digits.empty()) return cursor.Fail(span, fmt::format("'{}' is not a number", shown));
  constexpr std::uint64_t kMostNegative = std::uint64_t{1} << 63U;
  if (too_big || (term.is_negative && value > kMostNegative)) {
    return cursor.Fail(
        span, fmt::format("{}{} does not fit in 64 bits", term.is_negative ? "-" : "", shown));
  }
  // Leading zeros say nothing: 0x0F is 0xf.
  std::string digits(split.digits);
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size() - 1));
  std::ranges::transform(digits, digits.begin(),
                         [](char c) { return c >= 'A' && c <= 'F' ? char(c - 'A' + 'a') : c; });
  term.kind = ast::Term::Kind::kNumber;
  term.is_decimal = split.base == 10;
  term.number = term.is_negative ? ~value + 1 : value;
  term.text = fmt::format("{}{}{}", term.is_negative ? "-" : "", split.prefix, digits);
  cursor.Take();
  return true;
}

// dev(major, minor)
bool ParseDevice(Cursor& cursor, ast::Term& term) {
  cursor.Take();
  cursor.Take();
  ast::Term major, minor;
  if (!cursor.At(TokenKind::kNumber)) return cursor.FailExpected("a major device number");
  if (!ParseNumber(cursor, major)) return false;
  if (!cursor.TryTake(TokenKind::kComma)) return cursor.FailExpected("',' in dev(major, minor)");
  if (!cursor.At(TokenKind::kNumber)) return cursor.FailExpected("a minor device number");
  if (!ParseNumber(cursor, minor)) return false;
  if (!cursor.TryTake(TokenKind::kRightParen)) {
    return cursor.FailExpected("')' in dev(major, minor)");
  }
  term.span = base::Join(term.span, cursor.LastSpan());
  if (major.number > 0xFFF || minor.number > 0xFFFFF) {
    return cursor.Fail(term.span, "no device has such numbers",
                       "the major number is at most 4095, the minor at most 1048575");
  }
  term.kind = ast::Term::Kind::kDevice;
  term.number = ast::EncodeDevice(major.number, minor.number);
  term.text = fmt::format("{}, {}", major.number, minor.number);
  return true;
}

bool ParseTerm(Cursor& cursor, ast::Term& term) {
  if (!cursor.CountNode()) return false;
  term.span = cursor.Peek().span;
  if (cursor.At(TokenKind::kMinus) && cursor.Peek(1).kind == TokenKind::kNumber) {
    cursor.Take();
    term.is_negative = true;
    bool ok = ParseNumber(cursor, term);
    term.span = base::Join(term.span, cursor.LastSpan());
    return ok;
  }
  if (cursor.At(TokenKind::kNumber)) return ParseNumber(cursor, term);
  if (cursor.AtWord("dev") && cursor.Peek(1).kind == TokenKind::kLeftParen) {
    return ParseDevice(cursor, term);
  }
  if (cursor.At(TokenKind::kName)) {
    term.kind = ast::Term::Kind::kName;
    term.text = cursor.Text();
    cursor.Take();
    return true;
  }
  if (cursor.At(TokenKind::kAddress)) {
    term.kind = ast::Term::Kind::kAddress;
    term.text = cursor.Text();
    cursor.Take();
    return true;
  }
  if (cursor.At(TokenKind::kString)) {
    term.kind = ast::Term::Kind::kString;
    auto bytes = ParseString(cursor);
    if (!bytes) return false;
    term.text = std::move(*bytes);
    return true;
  }
  return cursor.FailExpected("a value");
}

}  // namespace

std::optional<std::string> ParseString(Cursor& cursor) {
  std::string_view quoted = cursor.Text();
  base::Span span = cursor.Peek().span;
  cursor.Take();
  // The lexer has reported a missing end.
  if (quoted.size() < 2 || quoted.back() != '"') return std::nullopt;
  quoted = quoted.substr(1, quoted.size() - 2);
  std::string bytes;
  for (std::size_t i = 0; i < quoted.size(); ++i) {
    if (quoted[i] != '\\') {
      bytes += quoted[i];
      continue;
    }
    char escape = i + 1 < quoted.size() ? quoted[++i] : '\0';
    if (escape == '\\' || escape == '"') {
      bytes += escape;
    } else if (escape == 'n') {
      bytes += '\n';
    } else if (escape == 't') {
      bytes += '\t';
    } else if (escape == 'x' && i + 2 < quoted.size() && DigitOf(quoted[i + 1]) < 16 &&
               DigitOf(quoted[i + 2]) < 16) {
      bytes += static_cast<char>(DigitOf(quoted[i + 1]) * 16 + DigitOf(quoted[i + 2]));
      i += 2;
    } else {
      auto at = static_cast<std::uint32_t>(span.begin + i);
      cursor.Fail({span.file, at, at + 2}, "unknown escape in a string",
                  "there are \\\\ \\\" \\n \\t and \\xHH");
      return std::nullopt;
    }
  }
  return bytes;
}

std::optional<ast::Value> ParseValue(Cursor& cursor) {
  ast::Value value;
  value.span = cursor.Peek().span;
  bool parenthesised = cursor.TryTake(TokenKind::kLeftParen);
  do {
    ast::Term term;
    if (!ParseTerm(cursor, term)) return std::nullopt;
    value.terms.push_back(std::move(term));
  } while (cursor.TryTake(TokenKind::kPipe));
  if (parenthesised && !cursor.TryTake(TokenKind::kRightParen)) {
    cursor.FailExpected("')'");
    return std::nullopt;
  }
  value.span = base::Join(value.span, cursor.LastSpan());
  return value;
}

std::optional<std::vector<ast::SetElement>> ParseSet(Cursor& cursor) {
  base::Span open = cursor.Peek().span;
  cursor.Take();
  std::vector<ast::SetElement> set;
  while (!cursor.At(TokenKind::kRightBrace)) {
    ast::SetElement element;
    auto low = ParseValue(cursor);
    if (!low) return std::nullopt;
    element.span = low->span;
    element.low = std::move(*low);
    if (cursor.TryTake(TokenKind::kDotDot)) {
      auto high = ParseValue(cursor);
      if (!high) return std::nullopt;
      element.high = std::move(*high);
      element.span = base::Join(element.span, element.high.span);
    }
    if (set.size() == kMaxSetElements) {
      cursor.Fail(element.span, fmt::format("a set has at most {} elements", kMaxSetElements),
                  "write ranges: {1..1000}");
      return std::nullopt;
    }
    set.push_back(std::move(element));
    if (!cursor.TryTake(TokenKind::kComma) && !cursor.At(TokenKind::kRightBrace)) {
      if (cursor.AtEndOfStatement()) {
        cursor.Fail(open, "this '{' is never closed");
      } else {
        cursor.FailExpected("',' or '}'");
      }
      return std::nullopt;
    }
  }
  cursor.Take();
  if (set.empty()) {
    cursor.Fail(base::Join(open, cursor.LastSpan()), "this set is empty; nothing is in it",
                "write 0 for a test that never holds");
    return std::nullopt;
  }
  return set;
}

}  // namespace callgate::policy
