#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "abi/action.h"
#include "abi/arch.h"
#include "graph/graph.h"
#include "policy/typed.h"

namespace callgate::policy {

// The calls that a decision is for.
struct DecidedCalls {
  std::optional<abi::ArchId> arch;  // nullopt: ABIs the policy does not speak for
  std::optional<std::int32_t> nr;   // nullopt: numbers that neither a rule nor a table names
};

struct LowerOptions {
  // What the filter returns where the policy decides `action`; empty: KernelAction(action). Asked
  // after all lists of a rule have been combined, so a substitute never changes which action wins.
  std::function<abi::Action(const DecidedCalls& calls, const PolicyAction& action)> filter_action;
};

// The decision graph of a policy: for every call on every ABI the action that Judge gives. Total;
// `policy` must have passed the type checker.
graph::Graph Lower(const TypedPolicy& policy, const LowerOptions& options = {});

}  // namespace callgate::policy
