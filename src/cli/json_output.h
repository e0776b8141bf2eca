#pragma once

#include <string>
#include <vector>

#include "callgate/analysis.h"
#include "callgate/compile.h"
#include "callgate/launch.h"
#include "callgate/lint.h"
#include "callgate/policy.h"
#include "callgate/system.h"

namespace callgate::cli {

// With sarif.h, the only file of the CLI that includes the JSON library. Each function returns one
// document and a newline.
std::string DiagnosticsJson(const std::vector<Diagnostic>& diagnostics);
std::string FindingsJson(const std::vector<LintFinding>& findings);
std::string EvaluationsJson(const std::vector<Evaluation>& evaluations);
std::string LogRecordsJson(const std::vector<LogRecord>& records);
std::string LastRunJson(const LastRun& run);
std::string ComparisonJson(const Subject& a, const Subject& b, const Comparison& comparison);
std::string ProofsJson(const std::vector<Proof>& proofs);
std::string ReportJson(const CompileReport& report);
std::string PlanJson(const std::vector<PlannedRule>& rules);
std::string FeaturesJson(const std::vector<Feature>& features);
std::string SyscallsJson(const std::vector<SyscallEntry>& entries);
std::string GroupsJson(const std::vector<GroupEntry>& groups);

}  // namespace callgate::cli
