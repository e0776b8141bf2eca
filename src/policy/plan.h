#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "policy/performed.h"
#include "policy/report.h"
#include "policy/typed.h"

namespace callgate::policy {

// How sure a decision is that the call it is about is the call that happens.
enum class Soundness : std::uint8_t {
  kRegister,   // registers only: the filter decides, nobody can change them
  kObject,     // what a descriptor refers to: the supervisor has a duplicate and acts on that
  kCopied,     // memory, copied once; the call is performed with the copy or refused
  kPinned,     // memory, copied once, or a descriptor; the caller makes the call, and what came of
               // it is judged again before it can act
  kUnchecked,  // memory, and then the kernel reads it again: another thread wins the race
};

// What a look at that makes of a decision: kObject or kCopied.
Soundness SoundnessOf(DeepSubject::Kind kind);

// What becomes of one clause of a rule.
struct PlannedClause {
  const Clause* clause = nullptr;  // nullptr: the default
  PolicyAction action;
  Soundness soundness = Soundness::kRegister;
};

struct PlannedRule {
  abi::ArchId arch;
  const Rule* rule = nullptr;
  Performance performance = Performance::kNone;  // of what it allows after a look
  std::vector<PlannedClause> clauses;            // in the order they are judged

  bool NeedsLook() const;
};

// `policy` must outlive the plan.
std::vector<PlannedRule> PlanPolicy(const TypedPolicy& policy);
// Does any rule look behind registers, or leave a call to the supervisor?
bool NeedsSupervisor(const TypedPolicy& policy);
bool NeedsSupervisor(const Rule& rule);

// May a call of that name happen on any ABI, for all the policy says? Overestimates: looks at what
// clauses do, not at when.
bool MayLetThrough(const TypedPolicy& policy, std::string_view call);
// Is there a rule about it, on every ABI that has the call?
bool Names(const TypedPolicy& policy, std::string_view call);

// Reports what cannot be kept: a clause that would allow a call after a look which the supervisor
// cannot perform, or an action that only a filter has.
void CheckPlan(const TypedPolicy& policy, abi::ArchId arch, const Rule& rule, Report& report);

// Reports ways round the supervisor that the policy leaves open without naming them.
void CheckBypasses(const TypedPolicy& policy, Report& report);

}  // namespace callgate::policy
