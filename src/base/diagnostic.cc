#include "base/diagnostic.h"

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/text.h"

namespace callgate::base {
namespace {

constexpr std::size_t kMaxShownColumns = 120;
constexpr int kMaxContinuationBytes = 3;  // of one character in UTF-8

struct Palette {
  std::string_view bold, red, yellow, cyan, reset;
};
constexpr Palette kPlain{"", "", "", "", ""};
constexpr Palette kColors{"\x1b[1m", "\x1b[1;31m", "\x1b[1;33m", "\x1b[36m", "\x1b[0m"};

bool IsContinuationByte(char c) { return (static_cast<unsigned char>(c) & 0xC0U) == 0x80U; }

// Source text goes to a terminal: what could act there, or is not seen, is not passed on.
std::string Printable(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const CodePoint next = ReadCodePoint(text, 0);
    const std::size_t length = std::max<std::size_t>(next.length, 1);
    if (text.front() == '\t') {
      out += ' ';
    } else if (next.length == 0 || HidesOrActs(next.value)) {
      out += '?';
    } else {
      out += text.substr(0, length);
    }
    text.remove_prefix(length);
  }
  return out;
}

// Of text as it is shown.
std::size_t CountColumns(std::string_view text) {
  return static_cast<std::size_t>(
      std::count_if(text.begin(), text.end(), [](char c) { return !IsContinuationByte(c); }));
}

std::string RenderExcerpt(Span span, const SourceMap& sources, const Palette& palette) {
  std::string_view line = sources.LineAt(span.file, span.begin);
  std::string_view all = sources.text(span.file);
  auto line_begin = static_cast<std::size_t>(line.data() - all.data());
  std::size_t caret = std::min<std::size_t>(span.begin - line_begin, line.size());
  std::size_t length = std::min<std::size_t>(span.end - span.begin, line.size() - caret);

  // A line that does not fit is shown as a window with the caret in it.
  std::string prefix;
  if (line.size() > kMaxShownColumns) {
    std::size_t start = caret > kMaxShownColumns / 2 ? caret - kMaxShownColumns / 2 : 0;
    // Not into the middle of a character. A run of stray bytes is not followed out of sight.
    for (int i = 0; i < kMaxContinuationBytes && start > 0 && IsContinuationByte(line[start]);
         ++i) {
      --start;
    }
    std::size_t end = std::min(line.size(), start + kMaxShownColumns);
    for (int i = 0; i < kMaxContinuationBytes && end < line.size() && IsContinuationByte(line[end]);
         ++i) {
      ++end;
    }
    if (start > 0) prefix = "...";
    line = line.substr(start, end - start);
    caret -= start;
    length = std::min(length, line.size() - caret);
  }
  std::size_t width = std::max<std::size_t>(CountColumns(Printable(line.substr(caret, length))), 1);
  std::string out = "    " + prefix + Printable(line) + "\n";
  out += std::string(4 + prefix.size() + CountColumns(Printable(line.substr(0, caret))), ' ');
  out += std::string(palette.cyan) + "^" + std::string(width - 1, '~') + std::string(palette.reset);
  return out + "\n";
}

std::string_view NameOf(Severity severity) {
  switch (severity) {
    case Severity::kError:
      return "error";
    case Severity::kWarning:
      return "warning";
    case Severity::kInfo:
      return "info";
  }
  return {};
}

std::string_view ColorOf(Severity severity, const Palette& palette) {
  switch (severity) {
    case Severity::kError:
      return palette.red;
    case Severity::kWarning:
      return palette.yellow;
    case Severity::kInfo:
      return palette.cyan;
  }
  return {};
}

}  // namespace

Diagnostic& Diagnostics::Error(Span span, std::string message) {
  ++error_count_;
  Diagnostic diagnostic{Severity::kError, span, std::move(message), {}};
  if (error_count_ > kMaxErrors) return overflow_ = std::move(diagnostic);
  return all_.emplace_back(std::move(diagnostic));
}

Diagnostic& Diagnostics::Warning(Span span, std::string message) {
  ++warning_count_;
  Diagnostic diagnostic{Severity::kWarning, span, std::move(message), {}};
  if (error_count_ > kMaxErrors || warning_count_ > kMaxErrors) {
    return overflow_ = std::move(diagnostic);
  }
  return all_.emplace_back(std::move(diagnostic));
}

void Diagnostics::SortByPlace() {
  auto place = [](const Diagnostic& diagnostic) {
    const Span& span = diagnostic.span;
    return span.valid() ? std::tuple(1, span.file, span.begin) : std::tuple(0, FileId{0}, 0U);
  };
  // Equal places keep their order. (std::stable_sort of libstdc++ 12 is deprecated under Clang.)
  std::vector<std::size_t> order(all_.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::tuple(place(all_[i]), i); });
  std::vector<Diagnostic> sorted;
  sorted.reserve(all_.size());
  for (std::size_t i : order) sorted.push_back(std::move(all_[i]));
  all_ = std::move(sorted);
}

std::string Render(const Diagnostic& diagnostic, const SourceMap& sources, Color color) {
  const Palette& palette = color == Color::kYes ? kColors : kPlain;
  std::string out;
  if (diagnostic.span.valid()) {
    out += std::string(palette.bold) + Printable(sources.Label(diagnostic.span)) +
           std::string(palette.reset) + ": ";
  }
  out += std::string(ColorOf(diagnostic.severity, palette)) +
         std::string(NameOf(diagnostic.severity)) + std::string(palette.reset) + ": " +
         diagnostic.message + "\n";
  if (diagnostic.span.valid()) out += RenderExcerpt(diagnostic.span, sources, palette);
  for (const Note& note : diagnostic.notes) {
    out += "  ";
    if (note.span.valid()) out += Printable(sources.Label(note.span)) + ": ";
    out += "note: " + note.message + "\n";
    if (note.span.valid()) out += RenderExcerpt(note.span, sources, palette);
  }
  return out;
}

std::string Render(const Diagnostics& diagnostics, const SourceMap& sources, Color color) {
  std::string out;
  for (const Diagnostic& diagnostic : diagnostics.all()) {
    out += Render(diagnostic, sources, color);
  }
  if (diagnostics.error_count() > Diagnostics::kMaxErrors) {
    out += "... and " + std::to_string(diagnostics.error_count() - Diagnostics::kMaxErrors) +
           " more errors\n";
  }
  return out;
}

}  // namespace callgate::base
