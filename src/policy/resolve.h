#pragma once

#include <cstdint>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "abi/version.h"
#include "base/diagnostic.h"
#include "policy/ast.h"
#include "policy/load.h"
#include "policy/report.h"
#include "policy/typed.h"

namespace callgate::policy {

// Which text speaks about which call.
//
// Who wins. A call may be mentioned by `i386.open: …` (by name and ABI), by `open: …` (by name),
// and by a group or a preset (`@file-system`, `use @base`). The more specific mention wins,
// wherever it stands: people write "this group, but openat only so", and nobody writes the
// opposite. Two mentions of the same rank:
//   by name   an error that shows both places, as language.md says;
//   by group  rules that only allow add up, their clauses are tried in the order of the text (two
//             presets may both know openat); if one of them does anything but allow, what wins is
//             not obvious, so that is an error too, unless a rule by name settles it.
// `override` replaces all that was said about a call so far; there must be something. `restrict`
// adds a list that must agree, and a call of which nothing was said has the default to agree with.
//
// The kernel in mind. With `as_of`, a call newer than that is not part of any group or preset: the
// author cannot have meant it, and it gets the `unknown` action. Naming it is allowed, with a
// warning.
//
// Numbers. `nr(335)` names a call by its number, also one that no table knows. It has the rank of a
// group mention: a rule by name is the one that counts.
//
// Presets and groups skip calls an ABI does not have; a rule by name must exist on every ABI.

// One rule as it applies to one call.
struct RuleUse {
  const ast::Rule* rule = nullptr;  // nullptr: a bare `use @group`, which allows
  std::size_t statement = 0;        // index in LoadedPolicy; lets defined before it are in scope
  base::Span span;                  // the whole statement
  base::Span event_span;            // the name or group in it
  bool via_group = false;
};

// All that is said about one call on one ABI.
struct CallRules {
  const abi::Syscall* syscall = nullptr;
  std::vector<RuleUse> base;       // clauses of all of them in this order; empty: nothing was said
  std::vector<RuleUse> restricts;  // each must agree as well
  bool newer_than_as_of = false;
};

struct ResolvedArch {
  abi::ArchId arch;
  std::vector<CallRules> calls;  // sorted by number
  // What nr(…) named and no table knows; rules point into them. Deques: they stay when moved.
  std::deque<abi::Syscall> unnamed;
  std::deque<std::string> unnamed_names;
};

struct LetDefinition {
  const ast::Let* let;
  std::size_t statement;
};
using Lets = std::map<std::string, LetDefinition, std::less<>>;

// Reads the settings into `typed` (arches are left empty) and returns the ABIs. `native` is what
// the policy speaks for if it does not say.
std::vector<abi::ArchId> ReadSettings(const LoadedPolicy& loaded, abi::ArchId native,
                                      TypedPolicy& typed, Report& report);

Lets CollectLets(const LoadedPolicy& loaded, base::Diagnostics& diagnostics);

std::vector<ResolvedArch> Resolve(const LoadedPolicy& loaded,
                                  const std::vector<abi::ArchId>& arches,
                                  std::optional<abi::KernelVersion> as_of,
                                  base::Diagnostics& diagnostics);

}  // namespace callgate::policy
