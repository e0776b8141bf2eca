#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace callgate::base {

// One character of UTF-8 as RFC 3629 has it: shortest form, no surrogates, nothing above U+10FFFF.
struct CodePoint {
  std::uint32_t value = 0;
  std::size_t length = 0;  // bytes; 0: this is not UTF-8
};
CodePoint ReadCodePoint(std::string_view text, std::size_t at);

// A character that changes the order in which its neighbours are shown.
bool ReordersText(std::uint32_t code_point);
// A character that could act on a terminal, or that a reader does not see: controls, soft hyphen,
// zero-width and directional marks, line separators, variation selectors, byte-order mark,
// interlinear marks, tags.
bool HidesOrActs(std::uint32_t code_point);

}  // namespace callgate::base
