// The target writes half of a report: names of its threads, paths, strings it passes. It may be
// hostile, and a report is read on a terminal; so everything that could act there, or make the
// report say something else than it does, is shown instead of sent.

#include "launch/escape.h"

#include "base/text.h"
#include "fmt/format.h"

namespace callgate::launch {

std::string Escape(std::string_view text) {
  std::string out;
  while (!text.empty()) {
    const base::CodePoint next = base::ReadCodePoint(text, 0);
    if (next.length == 0) {
      out += fmt::format("\\x{:02x}", static_cast<unsigned char>(text[0]));
      text.remove_prefix(1);
      continue;
    }
    if (next.value == '\n') {
      out += "\\n";
    } else if (next.value == '\t') {
      out += "\\t";
    } else if (next.value == '"' || next.value == '\\') {
      out += '\\';
      out += static_cast<char>(next.value);
    } else if (next.value < 0x20 || next.value == 0x7f) {
      out += fmt::format("\\x{:02x}", next.value);
    } else if (base::HidesOrActs(next.value)) {
      out += fmt::format("\\u{{{:x}}}", next.value);
    } else {
      out += text.substr(0, next.length);
    }
    text.remove_prefix(next.length);
  }
  return out;
}

}  // namespace callgate::launch
