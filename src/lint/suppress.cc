#include "lint/suppress.h"

#include <algorithm>
#include <cctype>
#include <optional>
#include <string>
#include <string_view>

#include "fmt/format.h"

namespace callgate::lint {
namespace {

struct Suppression {
  base::Span span;  // the comment
  base::Span line;  // what removing it removes
  std::string name;
  std::optional<Id> id;
  bool has_reason = false;
  base::Span covers;  // a statement; nowhere: none follows
  bool is_used = false;
};

std::string_view Trim(std::string_view text) {
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.front())) != 0) {
    text.remove_prefix(1);
  }
  while (!text.empty() && std::isspace(static_cast<unsigned char>(text.back())) != 0) {
    text.remove_suffix(1);
  }
  return text;
}

std::string_view TakeWord(std::string_view& text) {
  text = Trim(text);
  const std::size_t end = std::min(text.find_first_of(" \t"), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(end);
  text = Trim(text);
  return word;
}

// Where the line's comment begins: at a '#' outside of quotes.
std::size_t CommentIn(std::string_view line) {
  bool quoted = false;
  for (std::size_t i = 0; i < line.size(); ++i) {
    if (quoted && line[i] == '\\') {
      ++i;
    } else if (line[i] == '"') {
      quoted = !quoted;
    } else if (line[i] == '#' && !quoted) {
      return i;
    }
  }
  return std::string_view::npos;
}

base::Span StatementFor(const Subject& subject, base::Span comment, bool alone) {
  const auto& statements = subject.text->loaded->statements;
  base::Span next;
  for (const policy::LoadedStatement& entry : statements) {
    const base::Span span = entry.statement->span;
    if (span.file != comment.file) continue;
    if (span.begin <= comment.begin && comment.begin < span.end) return span;
    const base::SourceMap& sources = *subject.text->sources;
    const bool is_behind = !alone && span.end <= comment.begin &&
                           sources.PositionOf(span.file, span.end).line ==
                               sources.PositionOf(span.file, comment.begin).line;
    if (is_behind) return span;
    if (span.begin > comment.begin && (!next.valid() || span.begin < next.begin)) next = span;
  }
  return next;
}

std::vector<Suppression> Read(const Subject& subject) {
  std::vector<Suppression> all;
  const base::SourceMap& sources = *subject.text->sources;
  const auto files = static_cast<base::FileId>(subject.text->loaded->files.size());
  for (base::FileId file = 0; file < files; ++file) {
    const std::string_view text = sources.text(file);
    std::size_t begin = 0;
    while (begin < text.size()) {
      const std::size_t end = std::min(text.find('\n', begin), text.size());
      const std::string_view line = text.substr(begin, end - begin);
      const std::size_t at = CommentIn(line);
      const std::size_t line_begin = begin;
      begin = end + 1;
      if (at == std::string_view::npos) continue;
      std::string_view words = line.substr(at + 1);
      if (TakeWord(words) != "lint:" || TakeWord(words) != "allow") continue;
      Suppression one;
      one.name = TakeWord(words);
      one.id = FindRule(one.name);
      one.has_reason = !words.empty();
      const auto offset = [&](std::size_t n) { return static_cast<std::uint32_t>(n); };
      one.span = {file, offset(line_begin + at), offset(end)};
      const std::string_view before = Trim(line.substr(0, at));
      const bool alone = before.empty();
      std::size_t cut = line_begin + at;
      if (alone) {
        cut = line_begin;
      } else {
        while (cut > line_begin && (text[cut - 1] == ' ' || text[cut - 1] == '\t')) --cut;
      }
      one.line = {file, offset(cut), offset(alone ? std::min(end + 1, text.size()) : end)};
      one.covers = StatementFor(subject, one.span, alone);
      all.push_back(std::move(one));
    }
  }
  return all;
}

bool Covers(const Suppression& suppression, const Finding& finding) {
  if (suppression.id != finding.id) return false;
  if (!finding.span.valid()) return true;
  const base::Span all = suppression.covers;
  return all.valid() && all.file == finding.span.file && all.begin <= finding.span.begin &&
         finding.span.begin < all.end;
}

}  // namespace

std::vector<Finding> Suppress(const Subject& subject, std::vector<Finding>& findings) {
  std::vector<Finding> suppressed;
  if (!subject.text) return suppressed;
  std::vector<Suppression> suppressions = Read(subject);
  std::vector<Finding> left;
  for (Finding& finding : findings) {
    bool is_covered = false;
    for (Suppression& suppression : suppressions) {
      if (!Covers(suppression, finding)) continue;
      suppression.is_used = true;
      is_covered = is_covered || suppression.has_reason;
    }
    (is_covered ? suppressed : left).push_back(std::move(finding));
  }
  for (const Suppression& one : suppressions) {
    if (!one.id) {
      left.push_back({.id = Id::kUnknownId,
                      .message = fmt::format("'{}' is no finding of callgate lint", one.name),
                      .span = one.span});
    } else if (!one.has_reason) {
      left.push_back(
          {.id = Id::kNoReason,
           .message = fmt::format("the reason is missing: # lint: allow {} REASON", one.name),
           .span = one.span});
    } else if (!one.is_used) {
      left.push_back({.id = Id::kUnusedSuppression,
                      .message = fmt::format("{} is not found here", one.name),
                      .span = one.span,
                      .fix = {{one.line, ""}}});
    }
  }
  findings = std::move(left);
  return suppressed;
}

}  // namespace callgate::lint
