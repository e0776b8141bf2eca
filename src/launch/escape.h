#pragma once

#include <string>
#include <string_view>

namespace callgate::launch {

// Text that came from a target, safe for a terminal and a line of a log: control characters, bytes
// that are no UTF-8, and characters that change how others are shown (bidirectional marks and the
// like) become \n, \x1b, \u{202e}. Backslash and double quote are escaped, so the result can stand
// in double quotes.
std::string Escape(std::string_view text);

}  // namespace callgate::launch
