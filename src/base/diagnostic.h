#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/source.h"

namespace callgate::base {

// Info is for findings that are worth a look and nothing more; reading a policy makes none.
enum class Severity : std::uint8_t { kError, kWarning, kInfo };

// A remark below a diagnostic: "first defined here", "did you mean 'openat'?". A note without a
// span is one line.
struct Note {
  std::string message;
  Span span;
};

// The user's text is wrong. Many are collected in one run; none stops the reading.
struct Diagnostic {
  Severity severity = Severity::kError;
  Span span;
  std::string message;
  std::vector<Note> notes;
};

// Collects diagnostics in source order of discovery.
class Diagnostics {
 public:
  // A file of garbage must not print a million lines: after this many errors, one last line says
  // how many more.
  static constexpr std::size_t kMaxErrors = 100;

  Diagnostic& Error(Span span, std::string message);
  Diagnostic& Warning(Span span, std::string message);

  // Passes over a text discover in their own order; readers go from top to bottom. Stable; what has
  // no place comes first.
  void SortByPlace();

  // Further errors are only counted: what makes a message costly (searching for a similar name) can
  // be left out.
  bool IsFull() const { return error_count_ >= kMaxErrors; }
  bool HasErrors() const { return error_count_ > 0; }
  std::size_t error_count() const { return error_count_; }
  std::size_t warning_count() const { return warning_count_; }
  // At most kMaxErrors errors, and all warnings up to then.
  const std::vector<Diagnostic>& all() const { return all_; }

 private:
  std::vector<Diagnostic> all_;
  Diagnostic overflow_;  // where diagnostics past the limit go
  std::size_t error_count_ = 0;
  std::size_t warning_count_ = 0;
};

enum class Color : std::uint8_t { kNo, kYes };

// app.cg:3:9: error: unknown argument 'flag' of openat
//     openat: flag has O_CREAT
//             ^~~~
//   note: did you mean 'flags'?
// Long lines are cut around the caret; control bytes are shown as '?'.
std::string Render(const Diagnostic& diagnostic, const SourceMap& sources, Color color);
// All of them, and "… and N more errors" when there were too many.
std::string Render(const Diagnostics& diagnostics, const SourceMap& sources, Color color);

}  // namespace callgate::base
