#include "base/text.h"

#include <algorithm>

namespace callgate::base {
namespace {

struct Range {
  std::uint32_t first, last;
};

bool IsIn(std::uint32_t code_point, const auto& ranges) {
  return std::ranges::any_of(
      ranges, [&](Range range) { return code_point >= range.first && code_point <= range.last; });
}

}  // namespace

CodePoint ReadCodePoint(std::string_view text, std::size_t at) {
  auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  const std::uint32_t first = byte(at);
  if (first < 0x80) return {first, 1};
  if (first < 0xC2 || first > 0xF4) return {};
  std::size_t length = 2;
  if (first >= 0xE0) length = 3;
  if (first >= 0xF0) length = 4;
  std::uint32_t value = first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80U) return {};
    value = value << 6 | (byte(at + i) & 0x3FU);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (overlong || surrogate || value > 0x10FFFF) return {};
  return {value, length};
}

bool ReordersText(std::uint32_t code_point) {
  static constexpr Range kRanges[] = {{0x202A, 0x202E}, {0x2066, 0x2069}};
  return IsIn(code_point, kRanges);
}

bool HidesOrActs(std::uint32_t code_point) {
  static constexpr Range kRanges[] = {{0x00, 0x1F},     {0x7F, 0x9F},     {0xAD, 0xAD},
                                      {0x61C, 0x61C},   {0x180E, 0x180E}, {0x200B, 0x200F},
                                      {0x2028, 0x202E}, {0x2060, 0x206F}, {0xFE00, 0xFE0F},
                                      {0xFEFF, 0xFEFF}, {0xFFF0, 0xFFFC}, {0xE0000, 0xE0FFF}};
  return IsIn(code_point, kRanges);
}

}  // namespace callgate::base
