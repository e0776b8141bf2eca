#include "policy/lexer.h"

#include <algorithm>
#include <array>
#include <string>
#include <string_view>

#include "fmt/format.h"
#include "policy/limits.h"
#include "policy/text_check.h"

namespace callgate::policy {
namespace {

// Tokens, and the one thing that is not plain: where a statement ends.
//
// A statement is a line. It goes on to the next line when the line ends inside brackets, after an
// operator, `;`, `,` or `->`, or when the next line that is not blank or comment is indented. So
// the lexer decides at the first token of a line whether a kNewline comes before it; the parser
// then never looks at white space.
//
// Recovery. A forgotten `)` would swallow the rest of the file, and "all errors in one run" would
// be a lie. A line that starts in column 1 like a statement (`name…:` followed by a blank, `let`,
// `use "`, `group @`) therefore ends the statement before it, whatever is open: no correct policy
// has such a line inside brackets or after an operator, because `:` occurs in a statement once.
//
// Every character is looked at a bounded number of times: that line test reads a line at most once
// and addresses are read at most kMaxAddress characters ahead.

constexpr std::size_t kMaxAddress = 50;  // "ffff:…:ffff:255.255.255.255/128" has 49

bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsNameStart(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool IsNameChar(char c) { return IsNameStart(c) || IsDigit(c); }
bool IsHexOrColon(char c) {
  return IsDigit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F') || c == ':';
}

struct Spelling {
  std::string_view text;
  TokenKind kind;
};
// Longer spellings first: the first that fits is taken.
constexpr std::array<Spelling, 24> kPunctuation{{
    {"->", TokenKind::kArrow},     {"==", TokenKind::kEqual},        {"!=", TokenKind::kNotEqual},
    {"<=", TokenKind::kLessEqual}, {">=", TokenKind::kGreaterEqual}, {"&&", TokenKind::kAndAnd},
    {"||", TokenKind::kOrOr},      {"..", TokenKind::kDotDot},       {":", TokenKind::kColon},
    {";", TokenKind::kSemicolon},  {",", TokenKind::kComma},         {"(", TokenKind::kLeftParen},
    {")", TokenKind::kRightParen}, {"{", TokenKind::kLeftBrace},     {"}", TokenKind::kRightBrace},
    {"<", TokenKind::kLess},       {">", TokenKind::kGreater},       {"!", TokenKind::kBang},
    {"&", TokenKind::kAmpersand},  {"|", TokenKind::kPipe},          {"~", TokenKind::kTilde},
    {".", TokenKind::kDot},        {"=", TokenKind::kAssign},        {"-", TokenKind::kMinus},
}};

// Tokens that cannot end a statement. A colon is not among them: `read:` alone is a mistake, and
// going on would turn it into a stranger one.
bool WantsMore(TokenKind kind) {
  switch (kind) {
    case TokenKind::kSemicolon:
    case TokenKind::kComma:
    case TokenKind::kArrow:
    case TokenKind::kEqual:
    case TokenKind::kNotEqual:
    case TokenKind::kLess:
    case TokenKind::kLessEqual:
    case TokenKind::kGreater:
    case TokenKind::kGreaterEqual:
    case TokenKind::kAndAnd:
    case TokenKind::kOrOr:
    case TokenKind::kBang:
    case TokenKind::kAmpersand:
    case TokenKind::kPipe:
    case TokenKind::kTilde:
    case TokenKind::kDot:
    case TokenKind::kDotDot:
    case TokenKind::kAssign:
    case TokenKind::kMinus:
    case TokenKind::kLeftParen:
    case TokenKind::kLeftBrace:
      return true;
    case TokenKind::kEnd:
    case TokenKind::kNewline:
    case TokenKind::kName:
    case TokenKind::kAtName:
    case TokenKind::kNumber:
    case TokenKind::kString:
    case TokenKind::kAddress:
    case TokenKind::kIndex:
    case TokenKind::kColon:
    case TokenKind::kRightParen:
    case TokenKind::kRightBrace:
      return false;
  }
  return false;
}

class Lexer {
 public:
  Lexer(std::string_view text, base::FileId file, base::Diagnostics& diagnostics)
      : text_(text), file_(file), diagnostics_(diagnostics) {}

  TokenList Run() {
    while (position_ < text_.size()) {
      char c = text_[position_];
      if (c == '\n') {
        ++position_;
        ++newlines_;
        new_line_ = true;
        line_start_ = position_;
      } else if (c == ' ' || c == '\t' || c == '\r') {
        ++position_;
      } else if (c == '#') {
        ReadComment();
      } else {
        if (new_line_) StartLine();
        new_line_ = false;
        newlines_ = 0;
        ReadToken();
      }
    }
    EndStatement();
    Add(TokenKind::kEnd, position_);
    return std::move(out_);
  }

 private:
  base::Span SpanFrom(std::size_t begin) const {
    return {file_, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(position_)};
  }

  void Add(TokenKind kind, std::size_t begin) { out_.tokens.push_back({kind, SpanFrom(begin)}); }

  bool InStatement() const {
    return !out_.tokens.empty() && out_.tokens.back().kind != TokenKind::kNewline;
  }

  // Puts the kNewline in front of comment lines that were read since the statement's last line.
  void EndStatement() {
    if (InStatement()) {
      std::uint32_t end = out_.tokens.back().span.end;
      out_.tokens.push_back({TokenKind::kNewline, {file_, end, end}});
      for (auto it = out_.comments.rbegin();
           it != out_.comments.rend() && it->own_line && it->before_token + 1 == out_.tokens.size();
           ++it) {
        ++it->before_token;
      }
    }
    depth_ = 0;
  }

  // At the first token of a line.
  void StartLine() {
    bool continues = InStatement();
    if (continues) {
      TokenKind last = out_.tokens.back().kind;
      bool indented = position_ > line_start_;
      bool comma_list = last == TokenKind::kComma && depth_ == 0;
      if (!indented && !comma_list && LooksLikeStatement()) {
        continues = false;
      } else {
        continues = indented || depth_ > 0 || WantsMore(last);
      }
    }
    if (!continues) {
      EndStatement();
      if (newlines_ > 1) {
        out_.after_blank.push_back(static_cast<std::uint32_t>(out_.tokens.size()));
      }
    }
  }

  bool LooksLikeStatement() const {
    std::string_view rest = text_.substr(position_);
    for (std::string_view keyword : {"let ", "use \"", "use @", "group @"}) {
      if (rest.starts_with(keyword)) return true;
    }
    std::size_t i = 0;
    while (i < rest.size() && (IsNameChar(rest[i]) || rest[i] == '.' || rest[i] == ',' ||
                               rest[i] == '@' || rest[i] == '-' || rest[i] == ' ')) {
      ++i;
    }
    return i > 0 && i < rest.size() && rest[i] == ':' &&
           (i + 1 == rest.size() || rest[i + 1] == ' ' || rest[i + 1] == '\n' ||
            rest[i + 1] == '\r' || rest[i + 1] == '\t');
  }

  void ReadComment() {
    std::size_t begin = position_;
    position_ = std::min(text_.find('\n', position_), text_.size());
    std::size_t end = position_;
    while (end > begin &&
           (text_[end - 1] == ' ' || text_[end - 1] == '\t' || text_[end - 1] == '\r')) {
      --end;
    }
    bool own_line = new_line_ || out_.tokens.empty();
    out_.comments.push_back(
        {.span = {file_, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)},
         .own_line = own_line,
         .blank_before = newlines_ > 1,
         .before_token = static_cast<std::uint32_t>(out_.tokens.size())});
    newlines_ = 0;
  }

  void ReadToken() {
    char c = text_[position_];
    std::size_t begin = position_;
    if (ReadAddress()) return;
    if (IsDigit(c)) return ReadNumber();
    if (IsNameStart(c)) {
      while (position_ < text_.size() && IsNameChar(text_[position_])) ++position_;
      return Add(TokenKind::kName, begin);
    }
    if (c == '"') return ReadString();
    if (c == '@') return ReadAtName();
    if (ReadIndex()) return;
    for (const Spelling& spelling : kPunctuation) {
      if (!text_.substr(position_).starts_with(spelling.text)) continue;
      position_ += spelling.text.size();
      TrackBrackets(spelling.kind);
      return Add(spelling.kind, begin);
    }
    ReadUnknown();
  }

  void TrackBrackets(TokenKind kind) {
    if (kind == TokenKind::kLeftParen || kind == TokenKind::kLeftBrace) ++depth_;
    if ((kind == TokenKind::kRightParen || kind == TokenKind::kRightBrace) && depth_ > 0) --depth_;
  }

  // IPv4 needs three dots, IPv6 "::" or seven colons: neither can be anything else in a policy.
  bool ReadAddress() {
    if (!IsHexOrColon(text_[position_])) return false;
    if (position_ > 0 && IsNameChar(text_[position_ - 1])) return false;
    std::string_view rest = text_.substr(position_, kMaxAddress);
    std::size_t colons = 0, dots = 0, length = 0;
    bool double_colon = false, letters = false;
    while (length < rest.size() && (IsHexOrColon(rest[length]) || rest[length] == '.')) {
      char c = rest[length];
      if (c == '.' && length > 0 && rest[length - 1] == '.') return false;  // a range
      if (c == ':') ++colons;
      if (c == ':' && length > 0 && rest[length - 1] == ':') double_colon = true;
      if (c == '.') ++dots;
      if (c != ':' && c != '.' && !IsDigit(c)) letters = true;
      ++length;
    }
    bool v6 = double_colon || colons == 7;
    bool v4 = colons == 0 && dots == 3 && !letters;
    if (!v6 && !v4) return false;
    if (length < rest.size() && IsNameChar(rest[length])) return false;
    if (length + 1 < rest.size() && rest[length] == '/' && IsDigit(rest[length + 1])) {
      ++length;
      while (length < rest.size() && IsDigit(rest[length])) ++length;
    }
    std::size_t begin = position_;
    position_ += length;
    Add(TokenKind::kAddress, begin);
    return true;
  }

  // "[1]" right behind a name; any other bracket is a mistake.
  bool ReadIndex() {
    if (text_[position_] != '[' || position_ == 0 || !IsNameChar(text_[position_ - 1]))
      return false;
    std::size_t end = position_ + 1;
    while (end < text_.size() && IsDigit(text_[end])) ++end;
    if (end == position_ + 1 || end == text_.size() || text_[end] != ']') return false;
    std::size_t begin = position_;
    position_ = end + 1;
    Add(TokenKind::kIndex, begin);
    return true;
  }

  void ReadNumber() {
    std::size_t begin = position_;
    while (position_ < text_.size() && IsNameChar(text_[position_])) ++position_;
    Add(TokenKind::kNumber, begin);
  }

  void ReadString() {
    std::size_t begin = position_++;
    while (position_ < text_.size() && text_[position_] != '"' && text_[position_] != '\n') {
      position_ +=
          text_[position_] == '\\' && position_ + 1 < text_.size() && text_[position_ + 1] != '\n'
              ? 2
              : 1;
    }
    if (position_ >= text_.size() || text_[position_] == '\n') {
      diagnostics_.Error(SpanFrom(begin), "this string has no closing quote")
          .notes.push_back({"a string ends on the line it begins; write \\n for a line end", {}});
      return Add(TokenKind::kString, begin);
    }
    ++position_;
    Add(TokenKind::kString, begin);
  }

  void ReadAtName() {
    std::size_t begin = position_++;
    while (position_ < text_.size() && (IsNameChar(text_[position_]) ||
                                        (text_[position_] == '-' && position_ + 1 < text_.size() &&
                                         IsNameChar(text_[position_ + 1])))) {
      ++position_;
    }
    if (position_ == begin + 1) {
      diagnostics_.Error(SpanFrom(begin), "expected the name of a group or preset after '@'");
      return;
    }
    Add(TokenKind::kAtName, begin);
  }

  // A run of characters the language has no use for: one error.
  void ReadUnknown() {
    std::size_t begin = position_;
    auto is_known = [&](char c) {
      return c == ' ' || c == '\t' || c == '\r' || c == '\n' || c == '#' || c == '"' || c == '@' ||
             IsNameChar(c) ||
             std::string_view("-=!<>&|.:;,(){}~").find(c) != std::string_view::npos;
    };
    while (position_ < text_.size() && !is_known(text_[position_])) ++position_;
    std::string_view run = text_.substr(begin, position_ - begin);
    std::string shown(run.substr(0, 20));
    while (!shown.empty() && !IsValidUtf8(shown)) shown.pop_back();
    auto& error = diagnostics_.Error(SpanFrom(begin), fmt::format("unexpected '{}'", shown));
    if (run == "'") error.notes.push_back({"strings stand in double quotes", {}});
    if (run == "/" || run == "//") error.notes.push_back({"a comment begins with '#'", {}});
    if (run == "[") error.notes.push_back({"a set is written {a, b}", {}});
  }

  std::string_view text_;
  base::FileId file_;
  base::Diagnostics& diagnostics_;
  TokenList out_;
  std::size_t position_ = 0;
  std::size_t line_start_ = 0;
  bool new_line_ = false;     // a line began since the last token
  std::size_t newlines_ = 0;  // line ends since the last token or comment: two make an empty line
  int depth_ = 0;             // open brackets
};

}  // namespace

TokenList Lex(const base::SourceMap& sources, base::FileId file, base::Diagnostics& diagnostics) {
  std::string_view text = sources.text(file);
  if (!CheckIsText(text, file, diagnostics)) {
    TokenList nothing;
    nothing.tokens.push_back({TokenKind::kEnd, {file, 0, 0}});
    return nothing;
  }
  return Lexer(text, file, diagnostics).Run();
}

}  // namespace callgate::policy
