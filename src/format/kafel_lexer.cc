#include "format/kafel_lexer.h"

#include <algorithm>
#include <charconv>

#include "fmt/format.h"

namespace callgate::format {
namespace {

bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsDigit(char c) { return c >= '0' && c <= '9'; }

std::optional<std::uint64_t> NumberOf(std::string_view text) {
  int base = 10;
  if (text.starts_with("0x") || text.starts_with("0X")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text.front() == '0') {
    base = 8;
  }
  std::uint64_t value = 0;
  auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || stop != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<std::vector<KafelToken>> LexKafel(Reading& reading, base::FileId file) {
  static constexpr std::string_view kTwo[] = {"==", "!=", "<=", ">=", "&&", "||"};
  std::string_view text = reading.sources.text(file);
  std::vector<KafelToken> tokens;
  std::size_t at = 0;
  auto span = [&](std::size_t from, std::size_t to) {
    return base::Span{file, static_cast<std::uint32_t>(from), static_cast<std::uint32_t>(to)};
  };
  while (at < text.size()) {
    char c = text[at];
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
      ++at;
      continue;
    }
    if (text.substr(at).starts_with("//")) {
      at = std::min(text.find('\n', at), text.size());
      continue;
    }
    if (text.substr(at).starts_with("/*")) {
      std::size_t end = text.find("*/", at + 2);
      if (end == text.npos) return reading.Fail(span(at, at + 2), "this comment is never closed");
      at = end + 2;
      continue;
    }
    KafelToken token;
    std::size_t begin = at;
    if (IsNameStart(c) || c == '#') {
      ++at;
      while (at < text.size() && (IsNameStart(text[at]) || IsDigit(text[at]))) ++at;
      token.text = std::string(text.substr(begin, at - begin));
      token.kind = c == '#' ? KafelToken::Kind::kDirective : KafelToken::Kind::kName;
    } else if (IsDigit(c)) {
      while (at < text.size() && (IsNameStart(text[at]) || IsDigit(text[at]))) ++at;
      token.text = std::string(text.substr(begin, at - begin));
      token.kind = KafelToken::Kind::kNumber;
      auto number = NumberOf(token.text);
      if (!number) {
        return reading.Fail(span(begin, at),
                            fmt::format("'{}' is no number of 64 bits", token.text.substr(0, 40)));
      }
      token.number = *number;
    } else if (c == '"') {
      std::size_t end = text.find_first_of("\"\n", at + 1);
      if (end == text.npos || text[end] == '\n') {
        return reading.Fail(span(at, at + 1), "this string is never closed");
      }
      token.text = std::string(text.substr(at + 1, end - at - 1));
      token.kind = KafelToken::Kind::kString;
      at = end + 1;
    } else {
      at += std::ranges::find(kTwo, text.substr(at, 2)) != std::end(kTwo) ? 2 : 1;
      if (at - begin == 1 && std::string_view("{}()[]<>,;!&|-").find(c) == std::string_view::npos) {
        return reading.Fail(span(begin, at), "this character has no place in a Kafel policy");
      }
      token.text = std::string(text.substr(begin, at - begin));
      token.kind = KafelToken::Kind::kSign;
    }
    token.span = span(begin, at);
    tokens.push_back(std::move(token));
  }
  tokens.push_back({KafelToken::Kind::kEnd, "", 0, span(text.size(), text.size())});
  return tokens;
}

}  // namespace callgate::format
