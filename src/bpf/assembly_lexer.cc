#include "bpf/assembly_lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <string_view>

namespace callgate::bpf {
namespace {

using Kind = AssemblyToken::Kind;

constexpr std::string_view kMarks = ":,#%[]()+-*&";

// The same in every locale.
bool IsDigit(char c) { return c >= '0' && c <= '9'; }
bool IsWordStart(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '.';
}
bool IsWordPart(char c) { return IsWordStart(c) || IsDigit(c); }

class Lexer {
 public:
  Lexer(const base::SourceMap& sources, base::FileId file, base::Diagnostics& diagnostics)
      : text_(sources.text(file)), file_(file), diagnostics_(diagnostics) {}

  std::vector<AssemblyToken> Run() {
    if (!IsText()) return {{Kind::kEnd, 0, 0, Here(0, 0)}};
    while (at_ < text_.size()) Step();
    EndLine();
    Add(Kind::kEnd, 0);
    return std::move(tokens_);
  }

 private:
  base::Span Here(std::size_t begin, std::size_t end) const {
    return {file_, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)};
  }

  // A compiled filter is full of NUL bytes: one sentence says more than an error for each.
  bool IsText() {
    const auto* bad = std::ranges::find_if(text_, [](char c) {
      const auto byte = static_cast<unsigned char>(c);
      return byte < 0x20 && c != '\n' && c != '\t' && c != '\r';
    });
    if (bad == text_.end()) return true;
    const auto offset = static_cast<std::size_t>(bad - text_.begin());
    diagnostics_
        .Error(Here(offset, offset + 1),
               fmt::format("control character {:#04x} in assembly", static_cast<int>(*bad)))
        .notes.push_back(
            {"this does not look like text; 'callgate disasm' reads compiled filters", {}});
    return false;
  }

  void Step() {
    const char c = text_[at_];
    const std::string_view rest = text_.substr(at_);
    const bool is_line_start = at_ == 0 || text_[at_ - 1] == '\n';
    if (c == '\n') {
      EndLine();
      ++at_;
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++at_;
    } else if (c == ';' || (c == '#' && is_line_start)) {
      at_ += std::min(rest.find('\n'), rest.size());
    } else if (rest.starts_with("/*")) {
      SkipLongComment(rest);
    } else if (IsWordStart(c)) {
      Add(Kind::kWord, LengthOf(rest, IsWordPart));
    } else if (IsDigit(c)) {
      Number(LengthOf(rest, IsWordPart));
    } else if (kMarks.find(c) != std::string_view::npos) {
      Add(Kind::kMark, 1);
      tokens_.back().mark = c;
    } else {
      // All bytes of one character outside ASCII at once.
      const std::size_t length = 1 + LengthOf(rest.substr(1), [](char byte) {
                                   return (static_cast<unsigned char>(byte) & 0xc0U) == 0x80U;
                                 });
      diagnostics_.Error(Here(at_, at_ + length),
                         fmt::format("unexpected '{}'", rest.substr(0, length)));
      at_ += length;
    }
  }

  template <typename Predicate>
  static std::size_t LengthOf(std::string_view text, Predicate belongs) {
    return static_cast<std::size_t>(std::ranges::find_if_not(text, belongs) - text.begin());
  }

  void SkipLongComment(std::string_view rest) {
    const std::size_t end = rest.find("*/", 2);
    if (end == std::string_view::npos) {
      diagnostics_.Error(Here(at_, at_ + 2), "this comment is never closed; end it with '*/'");
      at_ = text_.size();
      return;
    }
    // bpf_asm takes what follows as one with what stands before; a comment over several lines ends
    // a line all the same.
    if (rest.substr(0, end).find('\n') != std::string_view::npos) EndLine();
    at_ += end + 2;
  }

  void Number(std::size_t length) {
    const std::string_view all = text_.substr(at_, length);
    std::string_view digits = all;
    int base = 10;
    if (digits.starts_with("0x") || digits.starts_with("0X")) {
      base = 16;
      digits.remove_prefix(2);
    } else if (digits.starts_with("0b") || digits.starts_with("0B")) {
      base = 2;
      digits.remove_prefix(2);
    } else if (digits.size() > 1 && digits.front() == '0') {
      base = 8;
      digits.remove_prefix(1);
    }
    std::uint32_t value = 0;
    const auto [end, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
    if (error == std::errc::invalid_argument || end != digits.data() + digits.size()) {
      diagnostics_.Error(Here(at_, at_ + length), fmt::format("'{}' is no number", all))
          .notes.push_back({"numbers are written 10, 0xa, 012 or 0b1010", {}});
    } else if (error != std::errc()) {
      diagnostics_.Error(Here(at_, at_ + length), fmt::format("{} does not fit 32 bits", all));
    }
    // A number all the same: the rest of the line can be read.
    Add(Kind::kNumber, length);
    tokens_.back().value = value;
  }

  void Add(Kind kind, std::size_t length) {
    tokens_.push_back({kind, 0, 0, Here(at_, at_ + length)});
    at_ += length;
  }

  void EndLine() {
    if (!tokens_.empty() && tokens_.back().kind != Kind::kNewline) Add(Kind::kNewline, 0);
  }

  std::string_view text_;
  base::FileId file_;
  base::Diagnostics& diagnostics_;
  std::size_t at_ = 0;
  std::vector<AssemblyToken> tokens_;
};

}  // namespace

std::vector<AssemblyToken> LexAssembly(const base::SourceMap& sources, base::FileId file,
                                       base::Diagnostics& diagnostics) {
  return Lexer(sources, file, diagnostics).Run();
}

}  // namespace callgate::bpf
