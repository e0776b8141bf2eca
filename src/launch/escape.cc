// The target writes half of a report: names of its threads, paths, strings it passes. It may be
// hostile, and a report is read on a terminal; so everything that could act there, or make the
// report say something else than it does, is shown instead of sent.

#include "launch/escape.h"

#include <cstdint>

#include "fmt/format.h"

namespace callgate::launch {
namespace {

struct Decoded {
  std::uint32_t character = 0;
  std::size_t length = 0;  // bytes; 0: not UTF-8
};

Decoded DecodeUtf8(std::string_view text) {
  auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  std::size_t length = byte(0) < 0x80       ? 1
                       : byte(0) >> 5 == 6  ? 2
                       : byte(0) >> 4 == 14 ? 3
                       : byte(0) >> 3 == 30 ? 4
                                            : 0;
  if (length == 0 || length > text.size()) return {};
  if (length == 1) return {byte(0), 1};
  std::uint32_t character = byte(0) & (0x7fu >> length);
  for (std::size_t i = 1; i < length; ++i) {
    if (byte(i) >> 6 != 2) return {};
    character = character << 6 | (byte(i) & 0x3fu);
  }
  constexpr std::uint32_t kSmallest[] = {0, 0, 0x80, 0x800, 0x10000};
  bool surrogate = character >= 0xd800 && character <= 0xdfff;
  if (character < kSmallest[length] || surrogate || character > 0x10ffff) return {};
  return {character, length};
}

// Invisible or acting on their neighbours: C1 controls, soft hyphen, zero-width and directional
// marks, line separators, variation selectors, byte-order mark, interlinear marks, tags.
bool IsDeceptive(std::uint32_t c) {
  struct Range {
    std::uint32_t low, high;
  };
  constexpr Range kRanges[] = {{0x80, 0x9f},     {0xad, 0xad},      {0x61c, 0x61c},
                               {0x180e, 0x180e}, {0x200b, 0x200f},  {0x2028, 0x202e},
                               {0x2060, 0x206f}, {0xfe00, 0xfe0f},  {0xfeff, 0xfeff},
                               {0xfff0, 0xfffc}, {0xe0000, 0xe0fff}};
  for (Range range : kRanges) {
    if (c >= range.low && c <= range.high) return true;
  }
  return false;
}

}  // namespace

std::string Escape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    Decoded next = DecodeUtf8(text);
    if (next.length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
      text.remove_prefix(1);
      continue;
    }
    if (next.character == '\n') {
      out += "\\n";
    } else if (next.character == '\t') {
      out += "\\t";
    } else if (next.character == '"' || next.character == '\\') {
      out += '\\';
      out += static_cast<char>(next.character);
    } else if (next.character < 0x20 || next.character == 0x7f) {
      out += fmt::format("\\x{:02x}", next.character);
    } else if (IsDeceptive(next.character)) {
      out += fmt::format("\\u{{{:x}}}", next.character);
    } else {
      out += text.substr(0, next.length);
    }
    text.remove_prefix(next.length);
  }
  return out;
}

}  // namespace callgate::launch
