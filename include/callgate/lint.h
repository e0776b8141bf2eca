#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "callgate/analysis.h"
#include "callgate/error.h"
#include "callgate/export.h"

namespace callgate {

enum class LintSeverity : std::uint8_t { kInfo, kWarning, kError };

// A mistake that lint looks for. Ids never change their meaning; callgate-lint(7) has them all.
struct LintRule {
  std::string id;  // "CG0301"
  LintSeverity severity = LintSeverity::kWarning;
  bool can_fix = false;
  std::string title;   // one line
  std::string reason;  // why it matters
  std::string advice;  // what to do
};
CALLGATE_EXPORT std::vector<LintRule> LintRules();

struct LintFinding {
  std::string id;
  LintSeverity severity = LintSeverity::kWarning;
  std::string message;
  std::string file;
  // A policy's place, 1-based, end exclusive, columns in code points. 0: about the whole file.
  std::uint32_t line = 0;
  std::uint32_t column = 0;
  std::uint32_t end_line = 0;
  std::uint32_t end_column = 0;
  std::optional<std::uint32_t> instruction;  // a filter's place
  std::string witness;                       // a call that shows it, with its verdict
  std::vector<std::string> notes;
  bool can_fix = false;        // FixPolicyText knows what to write here
  bool is_suppressed = false;  // by a comment in the policy, with a reason
  std::string text;            // whole, as `callgate lint` prints it; ends with a newline
  std::string color_text;
};

// What experts look for. Asks what is decided, not how the rules look: each finding about calls has
// a call that shows it. From top to bottom, suppressed ones last.
CALLGATE_EXPORT std::vector<LintFinding> Lint(const Subject& subject);

// The policy with every finding mended that a machine can mend; comments stay. Doing it again
// changes nothing. What the policy uses is not changed.
CALLGATE_EXPORT std::expected<std::string, Diagnostics> FixPolicyText(const std::string& name,
                                                                      std::string text);

}  // namespace callgate
