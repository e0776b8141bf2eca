#pragma once

#include <string>
#include <vector>

#include "callgate/policy.h"

namespace callgate::cli {

// The action, and on lines of their own the rule and what to add.
std::string VerdictText(const Verdict& verdict);
// One line for each verdict that is possible.
std::string CasesText(const std::vector<Evaluation::Case>& cases);

}  // namespace callgate::cli
