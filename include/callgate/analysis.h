#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "callgate/error.h"
#include "callgate/export.h"
#include "callgate/policy.h"
#include "callgate/program.h"

// Questions about policies and filters. Answers are proofs over every possible call, not samples;
// whoever says "no" shows a call, and the call has been interpreted before it is shown.

namespace callgate {

// What a question is about: a policy, or the filters of a task. Immutable and cheap to copy.
class CALLGATE_EXPORT Subject {
 public:
  // A policy, a foreign policy as ImportPolicy reads it, or a filter as Program::Write gives it in
  // kRaw, kHex, kJson or kListing. Contents decide; the file's name only where a minijail policy
  // (.policy) could be one of callgate's.
  static std::expected<Subject, Diagnostics> FromFile(const std::string& path);
  // The same, of bytes that are at hand; `name` stands for the file in messages.
  static std::expected<Subject, Diagnostics> FromBytes(const std::string& name, std::string bytes);
  // Fails where the policy does not compile.
  static Result<Subject> FromPolicy(const Policy& policy);
  // A stack of filters on one task, oldest first; the strictest action wins, as in the kernel.
  static Result<Subject> FromStack(const std::string& name, const std::vector<Program>& filters);
  // The filters of a live thread, or of a process's first one. Stops it for a moment. Needs
  // CAP_SYS_ADMIN, and a caller without filters of its own (ptrace(2), PTRACE_SECCOMP_GET_FILTER).
  static Result<Subject> FromProcess(pid_t pid);

  const std::string& name() const;
  std::vector<Program> filters() const;  // oldest first
  bool is_policy() const;                // its text is known
  bool is_imported() const;              // the text was made of another tool's policy

  struct Impl;
  explicit Subject(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}
  const Impl& impl() const { return *impl_; }

 private:
  std::shared_ptr<const Impl> impl_;
};

// Policy::EvaluateText of a filter too, where the instruction that returns stands for the rule. An
// argument that is written is the whole register.
CALLGATE_EXPORT Result<Evaluation> EvaluateText(const Subject& subject, std::string_view call);

enum class Answer : std::uint8_t { kHolds, kFails, kUndecided };

// Calls of one name that A and B decide differently.
struct Difference {
  // How B decides.
  enum class Kind : std::uint8_t {
    kLooser,   // less strictly than A
    kTighter,  // more strictly
    kOther,    // as strictly, but not alike: another errno
  };

  Kind kind = Kind::kOther;
  std::string arch;            // "x86_64"; "other" for the ABIs that neither side speaks of
  std::string call;            // "socket"; "unnamed numbers": no table names them; "every call"
  bool every_argument = true;  // false: arguments decide whether A and B differ
  std::string a_action;        // "errno(EPERM)"
  std::string b_action;
  Call witness;
  std::string witness_text;  // "socket(AF_VSOCK, 0x2, 0x0)"
  // After ReplayOnKernel: "the kernel agrees", or why the call was not tried.
  std::string live;
};

struct Comparison {
  Answer equal = Answer::kUndecided;       // alike for every call
  Answer a_within_b = Answer::kUndecided;  // for every call A is at least as strict as B
  Answer b_within_a = Answer::kUndecided;
  std::vector<Difference> differences;  // looser ones first, then by ABI and number
  std::vector<std::string> arches;      // ABIs that were told apart
  std::string undecided;  // why, if an answer is kUndecided: the instruction and what it computes
  std::string z3;         // after AskZ3: "z3 agrees"
};

// "Alike" and "strict" are as the kernel acts: data that an action ignores does not count, and an
// unknown action kills.
CALLGATE_EXPORT Comparison Compare(const Subject& a, const Subject& b);

// Tries every witness on the running kernel: both sides' filters are run by it, in children, and
// the call itself is not made. Fails where the kernel does not run a filter, or contradicts, which
// would be a fault of callgate.
CALLGATE_EXPORT Result<void> ReplayOnKernel(const Subject& a, const Subject& b,
                                            Comparison& comparison);

struct Proof {
  Answer answer = Answer::kUndecided;
  std::string statement;  // the calls in words: "socket(AF_VSOCK, *, *)"
  Call witness;           // kFails: a call that contradicts
  std::string witness_text;
  std::string action;         // what it gets
  std::string live;           // after ReplayOnKernel, as in Difference
  std::string undecided;      // kUndecided: why
  bool is_delegated = false;  // kUndecided: the filters leave a call to a tracer or a supervisor
  std::string z3;             // after AskZ3, as in Comparison
};

// The same for the witness of a proof, if it has one.
CALLGATE_EXPORT Result<void> ReplayOnKernel(const Subject& subject, Proof& proof);

// Is no call of the pattern ever allowed (or logged, which allows too)? Patterns are those of
// Policy::EvaluateText; an argument stands for every register that the kernel reads as it, so
// socket(40) is socket(0x100000028) too. Undecided where a tracer or a supervisor has the last
// word.
CALLGATE_EXPORT Result<Proof> ProveNever(const Subject& subject, std::string_view call);
// Is every call of the pattern allowed?
CALLGATE_EXPORT Result<Proof> ProveAlways(const Subject& subject, std::string_view call);

// Asks another prover the same: the program z3, found in PATH, which gets the filters as formulas,
// instruction by instruction. What was undecided it may settle; its witnesses are interpreted like
// all others. Where both have an answer it must be one: a contradiction is an error, and a fault of
// either. An error too where z3 cannot be run; that it did not finish within `limit` is none.
CALLGATE_EXPORT Result<void> AskZ3(const Subject& a, const Subject& b, std::chrono::seconds limit,
                                   Comparison& comparison);
enum class Claim : std::uint8_t { kNever, kAlways };
// Of ProveNever or ProveAlways for this call.
CALLGATE_EXPORT Result<void> AskZ3(const Subject& subject, Claim claim, std::string_view call,
                                   std::chrono::seconds limit, Proof& proof);

struct Decompiled {
  std::string text;  // a policy
  // Where the policy and the subject differ: A is the subject. Only numbers that no table names can
  // be here; a policy treats them all alike ('unknown'), and a filter need not.
  std::vector<Difference> exceptions;
};

// Policy text that decides every call as the subject does, which is proved before it is returned.
// Fails where the language cannot say what the filters do, and says why.
CALLGATE_EXPORT Result<Decompiled> Decompile(const Subject& subject);

// A call that a filter denied, killed for or logged, as the kernel recorded it (audit type 1326).
// Records have no arguments.
struct LogRecord {
  std::string call;       // "fdatasync", "i386.open", "number 999"
  bool is_named = false;  // Policy::EvaluateText understands `call`
  std::string action;     // "kill", "errno"; the record does not tell which errno
  pid_t pid = 0;
  std::string comm;  // the thread's name
  std::string exe;   // may be empty
  int signal = 0;    // that the thread got; 0: none
  Call registers;    // nr, arch and ip
};

// The records among the lines of a kernel or audit log: dmesg, journalctl (also -o json),
// audit.log, ausearch. Lines about other things are passed over.
CALLGATE_EXPORT std::vector<LogRecord> ReadAuditLog(std::string_view text);

}  // namespace callgate
