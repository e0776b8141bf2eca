#pragma once

#include "base/source.h"
#include "policy/typed.h"

namespace callgate {

// Does it leave the call to somebody outside?
inline bool IsLeft(policy::PolicyAction action) {
  return action.verb == policy::Verb::kNotify || action.verb == policy::Verb::kAsk;
}

// Calls `visit` with every action of the policy but that for foreign ABIs, and its place.
template <typename Visit>
void VisitActions(const policy::TypedPolicy& typed, Visit visit) {
  visit(typed.default_action, typed.default_span);
  visit(typed.unknown_action, typed.unknown_span);
  for (const policy::ArchPolicy& arch : typed.arches) {
    for (const policy::Rule& rule : arch.rules) {
      for (const policy::ClauseList& list : rule.lists) {
        for (const policy::Clause& clause : list.clauses) visit(clause.action, clause.span);
      }
    }
  }
}

}  // namespace callgate
