#pragma once

#include <cstdint>
#include <expected>
#include <string>
#include <vector>

#include "callgate/export.h"

namespace callgate {

// An operation failed. `message` is one line for a person: what was tried, on what, why it failed,
// what to do.
struct Error {
  std::string message;
  int errno_value = 0;  // errno(3) value of the system call behind it, 0 where there is none
};

template <typename T>
using Result = std::expected<T, Error>;

// The user's text, a policy or assembly, is wrong or doubtful. Line and column are 1-based; columns
// count code points.
struct Diagnostic {
  enum class Severity : std::uint8_t { kError, kWarning };

  Severity severity = Severity::kError;
  std::string file;
  std::uint32_t line = 0;  // 0: about no place in particular
  std::uint32_t column = 0;
  std::string message;
  std::vector<std::string> notes;
  std::string text;        // whole: label, message, source line, caret, notes; ends with a newline
  std::string color_text;  // the same with terminal colours
};

// Why a text was refused: every error of the file, and the warnings found on the way. Never
// empty.
struct CALLGATE_EXPORT Diagnostics {
  std::vector<Diagnostic> all;

  std::string Render() const;
};

}  // namespace callgate
