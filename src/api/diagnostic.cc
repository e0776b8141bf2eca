#include "base/diagnostic.h"

#include <string>
#include <utility>
#include <vector>

#include "api/impl.h"
#include "callgate/error.h"

namespace callgate {

std::vector<Diagnostic> ToPublic(const base::Diagnostics& diagnostics,
                                 const base::SourceMap& sources) {
  std::vector<Diagnostic> all;
  for (const base::Diagnostic& one : diagnostics.all()) {
    Diagnostic diagnostic;
    diagnostic.severity = one.severity == base::Severity::kError ? Diagnostic::Severity::kError
                                                                 : Diagnostic::Severity::kWarning;
    diagnostic.file = sources.name(one.span.file);
    if (one.span.valid()) {
      base::Position position = sources.PositionOf(one.span.file, one.span.begin);
      diagnostic.line = position.line;
      diagnostic.column = position.column;
    }
    diagnostic.message = one.message;
    for (const base::Note& note : one.notes) {
      std::string place = note.span.valid() ? sources.Label(note.span) + ": " : "";
      diagnostic.notes.push_back(place + note.message);
    }
    diagnostic.text = base::Render(one, sources, base::Color::kNo);
    diagnostic.color_text = base::Render(one, sources, base::Color::kYes);
    all.push_back(std::move(diagnostic));
  }
  if (diagnostics.error_count() > base::Diagnostics::kMaxErrors) {
    Diagnostic rest;
    rest.message = std::to_string(diagnostics.error_count() - base::Diagnostics::kMaxErrors) +
                   " more errors are not shown";
    rest.text = rest.color_text = "error: " + rest.message + "\n";
    all.push_back(std::move(rest));
  }
  return all;
}

std::string Diagnostics::Render() const {
  std::string text;
  for (const Diagnostic& diagnostic : all) text += diagnostic.text;
  return text;
}

}  // namespace callgate
