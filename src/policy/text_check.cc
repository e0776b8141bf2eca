#include "policy/text_check.h"

#include <cstdint>
#include <string>

#include "fmt/format.h"
#include "policy/limits.h"

namespace callgate::policy {
namespace {

struct CodePoint {
  std::uint32_t value = 0;
  std::size_t length = 0;  // 0: not UTF-8
};

// RFC 3629: shortest form only, no surrogates, nothing above U+10FFFF.
CodePoint ReadCodePoint(std::string_view text, std::size_t at) {
  auto byte = [&](std::size_t i) {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U;
  };
  std::uint32_t first = byte(at);
  if (first < 0x80) return {first, 1};
  std::size_t length = first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : 2;
  if (first < 0xC2 || first > 0xF4) return {};
  std::uint32_t value = first & (0xFFU >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(at + i) & 0xC0U) != 0x80U) return {};
    value = value << 6 | (byte(at + i) & 0x3FU);
  }
  bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (overlong || surrogate || value > 0x10FFFF) return {};
  return {value, length};
}

bool ReordersText(std::uint32_t code_point) {
  return (code_point >= 0x202A && code_point <= 0x202E) ||
         (code_point >= 0x2066 && code_point <= 0x2069);
}

}  // namespace

bool IsValidUtf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    CodePoint point = ReadCodePoint(text, i);
    if (point.length == 0) return false;
    i += point.length;
  }
  return true;
}

bool ReadsAsStored(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    CodePoint point = ReadCodePoint(text, i);
    if (point.length == 0 || ReordersText(point.value)) return false;
    i += point.length;
  }
  return true;
}

bool CheckIsText(std::string_view text, base::FileId file, base::Diagnostics& diagnostics) {
  auto fail = [&](std::size_t at, std::size_t length, std::string message, std::string note) {
    base::Span span{file, static_cast<std::uint32_t>(at), static_cast<std::uint32_t>(at + length)};
    diagnostics.Error(span, std::move(message)).notes.push_back({std::move(note), {}});
    return false;
  };
  if (text.size() > kMaxFileBytes) {
    return fail(0, 0,
                fmt::format("this file has {} bytes; a policy file has at most {}", text.size(),
                            kMaxFileBytes),
                "split it into layers, or check that it is the file you meant");
  }
  for (std::size_t i = 0; i < text.size();) {
    CodePoint point = ReadCodePoint(text, i);
    if (point.length == 0) {
      return fail(
          i, 1, fmt::format("byte 0x{:02x} is not UTF-8 text", static_cast<unsigned char>(text[i])),
          "this does not look like a policy; nothing of the file was read");
    }
    bool control =
        (point.value < 0x20 && point.value != '\t' && point.value != '\n' && point.value != '\r') ||
        point.value == 0x7F;
    if (control) {
      return fail(i, 1, fmt::format("control character 0x{:02x} in a policy", point.value),
                  "this does not look like a policy; nothing of the file was read");
    }
    if (ReordersText(point.value)) {
      return fail(i, point.length,
                  fmt::format("U+{:04X} changes the order in which text is shown", point.value),
                  "a policy must be what it looks like; remove the character");
    }
    i += point.length;
  }
  return true;
}

}  // namespace callgate::policy
