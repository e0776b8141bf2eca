#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace callgate::base {

// Index of a file in a SourceMap. Files are never removed, so an id stays good for the map's life.
using FileId = std::uint32_t;

// Half-open byte range [begin, end) of one source file. A default span points nowhere (built-in
// text).
struct Span {
  static constexpr FileId kNowhere = UINT32_MAX;

  FileId file = kNowhere;
  std::uint32_t begin = 0;
  std::uint32_t end = 0;

  bool valid() const { return file != kNowhere; }
  bool operator==(const Span&) const = default;
};

// The smallest span that holds both. Spans of different files: the first.
Span Join(Span a, Span b);

// 1-based; columns count Unicode code points, as editors do.
struct Position {
  std::uint32_t line = 1;
  std::uint32_t column = 1;

  bool operator==(const Position&) const = default;
};

// Keeps the text of every file that was read, so that a Diagnostic can show the line it talks
// about.
class SourceMap {
 public:
  // `name` is shown to the user as given. Text over 4 GiB is not accepted (spans are 32 bits).
  FileId Add(std::string name, std::string text);

  std::string_view name(FileId file) const;
  std::string_view text(FileId file) const;
  std::string_view text(Span span) const;
  Position PositionOf(FileId file, std::uint32_t offset) const;
  // The whole line (no newline) that holds `offset`.
  std::string_view LineAt(FileId file, std::uint32_t offset) const;
  // "app.cg:12" and "app.cg:12:5"; "<built-in>" for a span that points nowhere.
  std::string LineLabel(Span span) const;
  std::string Label(Span span) const;

 private:
  struct File {
    std::string name;
    std::string text;
    std::vector<std::uint32_t> line_starts;
  };
  std::deque<File> files_;  // deque: views into a file stay valid when more are added
};

}  // namespace callgate::base
