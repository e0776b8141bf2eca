#include "base/source.h"

#include <algorithm>
#include <utility>

#include "base/check.h"

namespace callgate::base {

Span Join(Span a, Span b) {
  if (!a.valid() || a.file != b.file) return a.valid() ? a : b;
  return {a.file, std::min(a.begin, b.begin), std::max(a.end, b.end)};
}

FileId SourceMap::Add(std::string name, std::string text) {
  CG_CHECK(text.size() < UINT32_MAX);
  File file{std::move(name), std::move(text), {0}};
  for (std::size_t i = 0; i < file.text.size(); ++i) {
    if (file.text[i] == '\n') file.line_starts.push_back(static_cast<std::uint32_t>(i + 1));
  }
  files_.push_back(std::move(file));
  return static_cast<FileId>(files_.size() - 1);
}

std::string_view SourceMap::name(FileId file) const {
  return file == Span::kNowhere ? std::string_view("<built-in>") : files_.at(file).name;
}

std::string_view SourceMap::text(FileId file) const { return files_.at(file).text; }

std::string_view SourceMap::text(Span span) const {
  if (!span.valid()) return {};
  return text(span.file).substr(span.begin, span.end - span.begin);
}

Position SourceMap::PositionOf(FileId file, std::uint32_t offset) const {
  const File& f = files_.at(file);
  auto next = std::upper_bound(f.line_starts.begin(), f.line_starts.end(), offset);
  auto line = static_cast<std::uint32_t>(next - f.line_starts.begin());
  std::uint32_t column = 1;
  for (std::uint32_t i = *(next - 1); i < offset && i < f.text.size(); ++i) {
    // Continuation bytes of UTF-8 do not start a column.
    if ((static_cast<unsigned char>(f.text[i]) & 0xC0U) != 0x80U) ++column;
  }
  return {line, column};
}

std::string_view SourceMap::LineAt(FileId file, std::uint32_t offset) const {
  const File& f = files_.at(file);
  auto next = std::upper_bound(f.line_starts.begin(), f.line_starts.end(), offset);
  std::uint32_t begin = *(next - 1);
  std::size_t end = f.text.find('\n', begin);
  if (end == std::string::npos) end = f.text.size();
  std::string_view line = std::string_view(f.text).substr(begin, end - begin);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return line;
}

std::string SourceMap::LineLabel(Span span) const {
  if (!span.valid()) return "<built-in>";
  return std::string(name(span.file)) + ":" +
         std::to_string(PositionOf(span.file, span.begin).line);
}

std::string SourceMap::Label(Span span) const {
  if (!span.valid()) return "<built-in>";
  return LineLabel(span) + ":" + std::to_string(PositionOf(span.file, span.begin).column);
}

}  // namespace callgate::base
