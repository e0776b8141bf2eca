#include "policy/text_check.h"

#include <cstdint>
#include <string>

#include "base/text.h"
#include "fmt/format.h"
#include "policy/limits.h"

namespace callgate::policy {

bool IsValidUtf8(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const base::CodePoint point = base::ReadCodePoint(text, i);
    if (point.length == 0) return false;
    i += point.length;
  }
  return true;
}

bool ReadsAsStored(std::string_view text) {
  for (std::size_t i = 0; i < text.size();) {
    const base::CodePoint point = base::ReadCodePoint(text, i);
    if (point.length == 0 || base::ReordersText(point.value)) return false;
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
    const base::CodePoint point = base::ReadCodePoint(text, i);
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
    if (base::ReordersText(point.value)) {
      return fail(i, point.length,
                  fmt::format("U+{:04X} changes the order in which text is shown", point.value),
                  "a policy must be what it looks like; remove the character");
    }
    i += point.length;
  }
  return true;
}

}  // namespace callgate::policy
