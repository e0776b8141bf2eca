// A JSON reader that keeps places. RFC 8259, strictly: no comments, no trailing commas, no
// duplicate keys (readers disagree about which one counts, so a profile that has them means
// nothing). Recursive, with a limit of depth; an error ends the reading, since what follows a
// syntax error is noise.

#include <set>

#include "fmt/format.h"
#include "format/tree.h"

namespace callgate::format {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

int HexDigit(char c) {
  if (IsDigit(c)) return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

void AppendUtf8(std::uint32_t code, std::string& out) {
  auto byte = [&](std::uint32_t value) { out += static_cast<char>(value); };
  if (code < 0x80) {
    byte(code);
  } else if (code < 0x800) {
    byte(0xC0U | code >> 6U);
    byte(0x80U | (code & 0x3FU));
  } else if (code < 0x10000) {
    byte(0xE0U | code >> 12U);
    byte(0x80U | (code >> 6U & 0x3FU));
    byte(0x80U | (code & 0x3FU));
  } else {
    byte(0xF0U | code >> 18U);
    byte(0x80U | (code >> 12U & 0x3FU));
    byte(0x80U | (code >> 6U & 0x3FU));
    byte(0x80U | (code & 0x3FU));
  }
}

class JsonReader {
 public:
  JsonReader(std::string_view text, base::FileId file, base::Diagnostics& diagnostics)
      : text_(text), file_(file), diagnostics_(diagnostics) {}

  std::optional<Tree> Run() {
    Tree tree;
    if (!Value(tree, 0)) return std::nullopt;
    SkipBlanks();
    if (at_ < text_.size()) {
      Fail(at_, "there is text behind the end of the JSON value");
      return std::nullopt;
    }
    return tree;
  }

 private:
  bool Fail(std::size_t at, std::string message) {
    auto begin = static_cast<std::uint32_t>(std::min(at, text_.size()));
    diagnostics_.Error({file_, begin, begin + (begin < text_.size() ? 1 : 0)}, std::move(message));
    return false;
  }

  bool FailExpected(std::string_view what) {
    if (at_ >= text_.size()) {
      return Fail(at_, fmt::format("the file ends where {} should be", what));
    }
    return Fail(at_, fmt::format("expected {}", what));
  }

  base::Span SpanFrom(std::size_t begin) const {
    return {file_, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(at_)};
  }

  void SkipBlanks() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }

  bool TryTake(char c) {
    SkipBlanks();
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }

  bool Value(Tree& tree, int depth) {
    SkipBlanks();
    std::size_t begin = at_;
    if (depth > kMaxTreeDepth) {
      return Fail(at_, fmt::format("values are nested more than {} deep", kMaxTreeDepth));
    }
    if (++nodes_ > kMaxTreeNodes) {
      return Fail(at_, fmt::format("the file holds more than {} values", kMaxTreeNodes));
    }
    if (!ValueAt(tree, depth)) return false;
    tree.span = SpanFrom(begin);
    return true;
  }

  bool ValueAt(Tree& tree, int depth) {
    if (at_ >= text_.size()) return FailExpected("a value");
    switch (text_[at_]) {
      case '{':
        return Map(tree, depth);
      case '[':
        return List(tree, depth);
      case '"':
        tree.kind = Tree::Kind::kString;
        return String(tree.text);
      case 't':
        return Word(tree, "true", Tree::Kind::kBool);
      case 'f':
        return Word(tree, "false", Tree::Kind::kBool);
      case 'n':
        return Word(tree, "null", Tree::Kind::kNull);
      default:
        return Number(tree);
    }
  }

  bool Word(Tree& tree, std::string_view word, Tree::Kind kind) {
    if (!text_.substr(at_).starts_with(word)) return FailExpected("a value");
    at_ += word.size();
    tree.kind = kind;
    tree.text = word;
    return true;
  }

  bool Digits() {
    std::size_t begin = at_;
    while (at_ < text_.size() && IsDigit(text_[at_])) ++at_;
    return at_ > begin;
  }

  bool Number(Tree& tree) {
    std::size_t begin = at_;
    if (text_[at_] == '-') ++at_;
    std::size_t digits = at_;
    if (!Digits()) {
      at_ = begin;
      return FailExpected("a value");
    }
    if (text_[digits] == '0' && at_ > digits + 1) {
      return Fail(digits, "a JSON number does not begin with 0");
    }
    if (at_ < text_.size() && text_[at_] == '.') {
      ++at_;
      if (!Digits()) return FailExpected("a digit");
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      if (!Digits()) return FailExpected("a digit");
    }
    tree.kind = Tree::Kind::kNumber;
    tree.text = text_.substr(begin, at_ - begin);
    return true;
  }

  bool Map(Tree& tree, int depth) {
    tree.kind = Tree::Kind::kMap;
    ++at_;
    if (TryTake('}')) return true;
    std::set<std::string, std::less<>> keys;
    do {
      SkipBlanks();
      std::size_t begin = at_;
      if (at_ >= text_.size() || text_[at_] != '"') return FailExpected("a key in quotes");
      Tree::Entry entry;
      if (!String(entry.key)) return false;
      entry.key_span = SpanFrom(begin);
      if (!keys.insert(entry.key).second) {
        return Fail(begin, fmt::format("the key \"{}\" is there twice", entry.key.substr(0, 60)));
      }
      if (!TryTake(':')) return FailExpected("':'");
      if (!Value(entry.value, depth + 1)) return false;
      tree.entries.push_back(std::move(entry));
    } while (TryTake(','));
    if (TryTake('}')) return true;
    return FailExpected("',' or '}'");
  }

  bool List(Tree& tree, int depth) {
    tree.kind = Tree::Kind::kList;
    ++at_;
    if (TryTake(']')) return true;
    do {
      if (!Value(tree.items.emplace_back(), depth + 1)) return false;
    } while (TryTake(','));
    if (TryTake(']')) return true;
    return FailExpected("',' or ']'");
  }

  bool String(std::string& out) {
    std::size_t begin = at_++;
    while (at_ < text_.size() && text_[at_] != '"') {
      if (static_cast<unsigned char>(text_[at_]) < 0x20) {
        return Fail(at_, "a control character in a string");
      }
      if (text_[at_] != '\\') {
        out += text_[at_++];
      } else if (!Escape(out)) {
        return false;
      }
    }
    if (at_ >= text_.size()) return Fail(begin, "this string is never closed");
    ++at_;
    return true;
  }

  bool Escape(std::string& out) {
    static constexpr std::string_view kLetters = "\"\\/bfnrt";
    static constexpr std::string_view kBytes = "\"\\/\b\f\n\r\t";
    std::size_t begin = at_++;
    char letter = at_ < text_.size() ? text_[at_++] : '\0';
    if (letter == 'u') {
      std::uint32_t code = 0;
      if (!Hex4(code)) return Fail(begin, "\\u wants four hexadecimal digits");
      if (code >= 0xD800 && code < 0xE000) {
        std::uint32_t low = 0;
        bool is_pair = code < 0xDC00 && text_.substr(at_).starts_with("\\u");
        if (is_pair) at_ += 2;
        if (!is_pair || !Hex4(low) || low < 0xDC00 || low >= 0xE000) {
          return Fail(begin, "half a surrogate pair");
        }
        code = 0x10000 + ((code - 0xD800) << 10U) + (low - 0xDC00);
      }
      AppendUtf8(code, out);
      return true;
    }
    std::size_t place = letter == '\0' ? std::string_view::npos : kLetters.find(letter);
    if (place == std::string_view::npos) return Fail(begin, "unknown escape in a string");
    out += kBytes[place];
    return true;
  }

  bool Hex4(std::uint32_t& code) {
    for (int i = 0; i < 4; ++i, ++at_) {
      int digit = at_ < text_.size() ? HexDigit(text_[at_]) : -1;
      if (digit < 0) return false;
      code = code << 4U | static_cast<std::uint32_t>(digit);
    }
    return true;
  }

  std::string_view text_;
  base::FileId file_;
  base::Diagnostics& diagnostics_;
  std::size_t at_ = 0;
  std::size_t nodes_ = 0;
};

}  // namespace

const Tree* Tree::Find(std::string_view key) const {
  for (const Entry& entry : entries) {
    if (entry.key == key) return &entry.value;
  }
  return nullptr;
}

std::optional<Tree> ReadJson(const base::SourceMap& sources, base::FileId file,
                             base::Diagnostics& diagnostics) {
  return JsonReader(sources.text(file), file, diagnostics).Run();
}

}  // namespace callgate::format
