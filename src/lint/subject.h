#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "abi/arch.h"
#include "abi/call.h"
#include "base/source.h"
#include "bpf/program.h"
#include "lint/decisions.h"
#include "lint/rules.h"
#include "policy/load.h"
#include "policy/typed.h"

namespace callgate::lint {

// What is looked at: a policy or a filter. Every question about calls goes to the decisions, which
// both have; what only a policy has is for places in its text.
struct PolicyText {
  const policy::LoadedPolicy* loaded = nullptr;
  const policy::TypedPolicy* typed = nullptr;
  const base::SourceMap* sources = nullptr;
  bool is_imported = false;  // it was written in another format, and says what that can say
};

// The filters of a task, oldest first, each of which passes bpf::Verify; for a policy the one that
// it compiles to, and its text.
struct Source {
  std::vector<bpf::Program> filters;
  std::optional<PolicyText> text;
};

class Subject {
 public:
  explicit Subject(const Source& source);

  Decisions decisions;
  std::vector<abi::ArchId> arches;  // the ABIs it speaks for, not empty
  bool names_arch = true;           // false: a filter that never looks at the architecture
  std::vector<bpf::Program> filters;
  std::optional<PolicyText> text;  // policies only

  // A list of what is allowed: unknown numbers are not.
  bool is_allowlist = true;
  // A policy without settings is a part for others to use: it need not be complete.
  bool is_fragment = false;

  abi::ArchId home() const { return arches.front(); }
  // "i386.open(…)"
  std::string CallText(const abi::Call& call) const;
  // "errno(EPERM)"
  static std::string ActionText(std::uint32_t ret_value);
};

// A policy's own text is the first that is read.
inline constexpr base::FileId kOwnFile = 0;

// One edit of a policy's text: the text in `span` becomes `text`.
struct Edit {
  base::Span span;
  std::string text;
};

struct Finding {
  Id id;
  std::string message;  // one sentence without the title's generality: names calls and values
  base::Span span;      // policies; nowhere: about the whole file
  std::optional<std::size_t> instruction = {};  // filters
  std::string witness = {};                     // a call that shows it, with its verdict
  std::vector<abi::Call> calls = {};            // that it is about; the witness first
  std::vector<base::Span> related = {};         // other places of the text
  std::vector<std::string> notes = {};
  std::vector<Edit> fix = {};
};

// Collects findings and knows how to say where a verdict comes from.
class Findings {
 public:
  explicit Findings(const Subject& subject) : subject_(subject) {}

  // `call` is the witness: the finding stands where its verdict is decided.
  Finding& Add(Id id, const abi::Call& call, std::string message);
  // In a policy at `span`; in a filter about the whole.
  Finding& AddAt(Id id, base::Span span, std::string message);
  Finding& AddAtInstruction(Id id, std::size_t instruction, std::string message);

  base::Span PlaceOf(const abi::Call& call) const;
  // "ioctl(0, TIOCSTI, 0x0) → allow"
  std::string WitnessText(const abi::Call& call) const;

  std::vector<Finding>& all() { return all_; }

 private:
  const Subject& subject_;
  std::vector<Finding> all_;
};

// One a family; each adds what it finds.
void CheckArches(Subject& subject, Findings& findings);
void CheckText(Subject& subject, Findings& findings);
void CheckRules(Subject& subject, Findings& findings);
void CheckWidths(Subject& subject, Findings& findings);
void CheckActions(Subject& subject, Findings& findings);
void CheckFallbacks(Subject& subject, Findings& findings);
void CheckDangers(Subject& subject, Findings& findings);
void CheckEquivalents(Subject& subject, Findings& findings);
void CheckCompleteness(Subject& subject, Findings& findings);

}  // namespace callgate::lint
