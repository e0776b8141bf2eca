#pragma once

#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "lint/subject.h"

namespace callgate::lint {

struct Report {
  std::vector<Finding> findings;    // from top to bottom, then by id
  std::vector<Finding> suppressed;  // in the text, with a reason
};

Report Lint(const Source& source);

// The policy's own text with every mechanical fix applied. nullopt: there is none. Fixes may
// uncover others, so the caller asks again with the new text until there is none.
std::optional<std::string> ApplyFixes(const PolicyText& text, const Report& report);

}  // namespace callgate::lint
