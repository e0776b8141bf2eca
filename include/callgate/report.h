#pragma once

#include <string>

#include "callgate/analysis.h"
#include "callgate/export.h"

namespace callgate {

// A page for people: every call by group with its verdict, argument rules in words, what lint
// finds, and with `b` every difference with a call that shows it. Self-contained HTML that fetches
// nothing; the same input gives the same bytes.
CALLGATE_EXPORT std::string HtmlReport(const Subject& a, const Subject* b = nullptr);

}  // namespace callgate
