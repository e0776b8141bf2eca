#pragma once

#include <string>
#include <vector>

#include "callgate/lint.h"

namespace callgate::cli {

// A SARIF 2.1.0 log of one run and a newline: what code review tools take.
std::string FindingsSarif(const std::vector<LintFinding>& findings);

}  // namespace callgate::cli
