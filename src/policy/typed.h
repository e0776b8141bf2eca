#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "abi/action.h"
#include "abi/arch.h"
#include "abi/call.h"
#include "abi/version.h"
#include "base/source.h"
#include "policy/deep.h"

namespace callgate::policy {

// The policy after names are resolved and types are checked: what evaluate.h judges by and lower.h
// compiles. Types, numbers and constants differ by ABI, so each ABI has rules of its own.

enum class Verb : std::uint8_t {
  kAllow,
  kErrno,  // data: errno number of the ABI, 0..4095
  kKillProcess,
  kKillThread,
  kTrap,   // data: si_errno, 0..65535
  kTrace,  // data: tracer message, 0..65535
  kLog,
  kNotify,  // a handler outside decides
  kReturn,  // data: result, without doing the call
  kAsk,     // a person decides
  kContinueUnchecked,
  kAsSupervisor,  // performed with the supervisor's rights, not the caller's
  // No policy writes it: the registers do not decide, the supervisor has to look. What Judge says
  // without a look, and what the filter returns.
  kLook,
};

struct PolicyAction {
  Verb verb = Verb::kKillProcess;
  std::int64_t data = 0;

  bool operator==(const PolicyAction&) const = default;
};

// What the filter returns for it: return, ask, notify, continue_unchecked and a look are the
// supervisor's, so user notification.
abi::Action KernelAction(PolicyAction action);
// Of the verdicts of two lists of a rule: does the later one win? The strictest does, the earlier
// on a tie. A look may end in any action, so only kill is known to be as strict.
bool LaterWins(PolicyAction earlier, PolicyAction later);
// As a policy writes it: "errno(EPERM)".
std::string ToString(PolicyAction action, abi::ArchId arch);

// A number the kernel sees: an argument, the joined pair of a 64-bit argument on a 32-bit ABI, or
// the instruction pointer.
struct Operand {
  enum class Field : std::uint8_t { kArgument, kInstructionPointer };

  Field field = Field::kArgument;
  std::uint8_t slot = 0;                  // register 0..5; of a pair: the low half's
  std::optional<std::uint8_t> high_slot;  // pair: the register with the high half
  std::uint8_t bits = 64;                 // 32: only the low word is looked at
  bool is_signed = false;
  std::string name;  // as the tables name it, for messages

  bool operator==(const Operand&) const = default;
};

// The operand's value in `call`: truncated to `bits`, then sign-extended to 64 if signed.
std::uint64_t ValueOf(const Operand& operand, const abi::Call& call);

enum class Compare : std::uint8_t { kEqual, kNotEqual, kLess, kLessEqual, kGreater, kGreaterEqual };

// Inclusive; ordered as the operand is (signed or unsigned).
struct Range {
  std::uint64_t low = 0;
  std::uint64_t high = 0;

  bool operator==(const Range&) const = default;
};

struct Expr {
  enum class Kind : std::uint8_t {
    kConstant,  // truth
    kCompare,   // (operand & mask) op constant
    kIn,        // (operand & mask) in any of ranges
    kAnd,       // all of children
    kOr,        // any of children
    kNot,       // the one child
    kDeep,      // deep; of a number: the one child, with the number in argument 0
  };

  Kind kind = Kind::kConstant;
  bool truth = false;
  Operand operand;
  std::uint64_t mask = UINT64_MAX;  // bits above the operand's width are ignored; all ones: no mask
  Compare op = Compare::kEqual;
  std::uint64_t constant = 0;  // sign-extended like the operand's value
  std::vector<Range> ranges;
  std::vector<Expr> children;
  std::shared_ptr<const DeepTest> deep;  // shared: clauses are copied for each ABI's table
  base::Span span;
};

struct Clause {
  Expr predicate;
  PolicyAction action;
  base::Span span;
};

// First matching clause decides; none matches: the policy's default.
struct ClauseList {
  std::vector<Clause> clauses;
  base::Span span;  // the rule's line
};

// All that is said about one call on one ABI. More than one list only where `restrict` was used:
// every list is judged, the strictest action wins, the earlier list on a tie.
struct Rule {
  std::string syscall;
  std::int32_t nr = 0;  // as in seccomp_data.nr
  std::vector<ClauseList> lists;
  bool by_group = false;  // groups and presets speak of the call, nothing names it
};

struct ArchPolicy {
  abi::ArchId arch;
  std::vector<Rule> rules;  // sorted by nr, one a number
};

struct TypedPolicy {
  std::vector<ArchPolicy> arches;  // in the order of the arch setting
  PolicyAction default_action{Verb::kKillProcess, 0};
  PolicyAction unknown_action{Verb::kErrno, 38};  // ENOSYS; per-ABI number where it differs
  PolicyAction bad_arch_action{Verb::kKillProcess, 0};
  std::optional<abi::KernelVersion> as_of;
  bool on_next_syscall = false;
  base::Span default_span;  // where each was set; nowhere if built in
  base::Span unknown_span;
  base::Span bad_arch_span;
};

enum class Reason : std::uint8_t {
  kClause,   // a clause matched
  kNoMatch,  // the rule names the call, no clause matched: default
  kNoRule,   // no rule names the call: default
  kUnknown,  // number absent from the tables or newer than as_of
  kBadArch,  // an ABI the policy does not speak for
  kLook,     // tests of the rule look behind registers
};

// The action for one concrete call and what gave it.
struct Verdict {
  PolicyAction action;
  Reason reason = Reason::kNoRule;
  std::optional<abi::ArchId> arch;  // nullopt: no table knows the call's AUDIT_ARCH
  const Rule* rule = nullptr;       // kClause, kNoMatch
  const Clause* clause = nullptr;   // kClause
  base::Span span;                  // the clause, the rule, or the setting that decided
  bool looked = false;              // registers alone did not decide
};

// Of the verdicts of two lists of a rule, or of two layers. A call that one allows after a look is
// performed by what was looked at: `continue_unchecked` and `as_supervisor` of the other cannot
// take that away.
bool LaterWins(const Verdict& earlier, const Verdict& later);

// What stands behind the registers of one call. Asked again about one subject it must say the same.
using LookFunction = std::function<DeepValue(const DeepSubject&)>;

// The obvious evaluator: walks the typed policy as the language is defined. Every engine is
// compared with it. Without `look` the verdict is kLook where a test behind a register can make a
// difference.
Verdict Judge(const TypedPolicy& policy, const abi::Call& call);
Verdict Judge(const TypedPolicy& policy, const abi::Call& call, const LookFunction& look);

}  // namespace callgate::policy
