#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "callgate/error.h"
#include "callgate/export.h"
#include "callgate/program.h"

// clang-format off
// The ten-line use:
//
//   auto policy = callgate::Policy::FromText("self", R"(
//   default: errno(EPERM)
//   read, brk, mmap, munmap, exit_group
//   write: fd in {1, 2}
//   )");
//   if (!policy) { std::cerr << policy.error().Render(); return 1; }
//   auto program = policy->Compile();
//   if (!program || !callgate::Install(*program)) return 1;
//   // from here on the process can read, write to 1 and 2, allocate memory, and exit
// clang-format on

namespace callgate {

// What gives a verdict.
enum class VerdictSource : std::uint8_t {
  kClause,   // a clause of a rule matched
  kNoMatch,  // a rule names the call, no clause of it matched: the policy's default
  kNoRule,   // no rule names the call: the policy's default
  kUnknown,  // a number absent from the tables, or newer than as_of
  kBadArch,  // an ABI the policy does not speak for
  kLook,     // the rule tests memory or files that no register holds: the supervisor decides
  kFilter,   // an instruction of a filter whose policy is not known
};

struct CALLGATE_EXPORT Verdict {
  std::string action;           // "allow", "errno(EPERM)", …
  std::uint32_t ret_value = 0;  // what the compiled filter returns for the call
  VerdictSource source = VerdictSource::kNoRule;
  std::string place;            // "app.cg:12", "<built-in>"
  std::string rule;             // the deciding text: "write: fd == 1", "default errno(EPERM)"
  std::string reason;           // "no rule mentions fdatasync"; empty if a clause matched
  std::string suggestion;       // a line that would allow the call; empty if it is allowed
  std::string suggestion_note;  // "@sync: fsync fdatasync sync_file_range"; may be empty

  bool allowed() const;  // allow or log
};

// The answer of EvaluateText.
struct Evaluation {
  std::string call;  // the call in words: "openat(AT_FDCWD, *, O_RDONLY)" with its ABI
  std::optional<Verdict> verdict;  // nullopt: wildcards decide, see `cases`
  struct Case {
    std::string call;  // a concrete witness call
    Verdict verdict;
  };
  std::vector<Case> cases;  // one witness for each possible verdict when wildcards decide
  // Of filters: why there may be other verdicts than those of `cases`; usually empty.
  std::string undecided;
  std::vector<std::uint32_t> path;  // instructions of the compiled filter that the call visits
};

// How one rule is kept.
struct CALLGATE_EXPORT PlannedRule {
  struct Clause {
    std::string place;   // "app.cg:12"
    std::string text;    // "path under \"/srv\"", "default errno(EPERM)"
    std::string action;  // "allow"
    // What had to be looked at before it decides: "register", the filter decides; "object", an open
    // file that the supervisor has a duplicate of; "copied", memory that it copies once, deciding
    // and acting on the copy; "pinned", the same, where the caller makes the call and what came of
    // it is judged before it can act; "unchecked", memory that the kernel reads again afterwards.
    std::string soundness;
    std::string layer;  // "filter" or "supervisor"
  };
  std::string arch;
  std::string call;
  std::string place;
  std::vector<Clause> clauses;  // in the order they are judged
  std::string performed;        // how the supervisor makes a call it allows; empty: it allows none
  std::string cost;
  std::string guarantee;

  bool needs_supervisor() const;
};

// A checked policy. Cheap to copy; immutable.
class CALLGATE_EXPORT Policy {
 public:
  // Reads a policy file and what it uses. A file that cannot be read is a diagnostic too.
  static std::expected<Policy, Diagnostics> FromFile(const std::string& path);
  // `name` stands for the file in messages; `use "x.cg"` is looked up beside the current directory.
  static std::expected<Policy, Diagnostics> FromText(const std::string& name, std::string text);

  const std::string& name() const;
  const std::vector<Diagnostic>& warnings() const;
  // Every file that was read: the policy's own and what it uses, for tools that follow changes.
  const std::vector<std::string>& files() const;

  // The filter of all the policy's ABIs. Fails when it needs more than 4096 instructions.
  Result<Program> Compile() const;
  // How each rule is kept: by the filter, or by the supervisor of Exec and Spawn. Sorted by ABI and
  // number.
  std::vector<PlannedRule> Plan() const;
  // Judges one call by the policy's text, not by the filter.
  Verdict Evaluate(const Call& call) const;
  // "openat(AT_FDCWD, *, O_RDONLY)": names or numbers, `*` for any value, missing arguments are
  // `*`; "i386.open(…)" for another ABI. Checks that the filter agrees.
  Result<Evaluation> EvaluateText(std::string_view call) const;

  struct Impl;
  explicit Policy(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

// The policy text in canonical form, comments kept. Idempotent.
CALLGATE_EXPORT std::expected<std::string, Diagnostics> FormatPolicyText(const std::string& name,
                                                                         std::string text);

}  // namespace callgate
