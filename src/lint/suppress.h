#pragma once

#include <vector>

#include "lint/subject.h"

namespace callgate::lint {

// Takes out what the text suppresses and adds what is wrong with suppressions:
//
//   # lint: allow CG0501 a terminal emulator needs it
//
// covers the statement that it stands above, in or behind. A finding about the whole file is
// covered wherever the comment stands. Returns what was taken out.
std::vector<Finding> Suppress(const Subject& subject, std::vector<Finding>& findings);

}  // namespace callgate::lint
