#pragma once

#include <cstddef>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "abi/arch.h"
#include "abi/call.h"
#include "policy/typed.h"

namespace callgate::testing {

using Random = std::mt19937_64;

// What a random policy may hold; the rest is chance.
struct RandomPolicyShape {
  // Which ABIs: one set is drawn.
  std::vector<std::vector<abi::ArchId>> arch_sets;
  std::size_t max_rules = 100;
  // Actions that clauses and settings draw from.
  std::vector<policy::PolicyAction> actions;
};

// All ABIs worth telling apart (compat, x32 open and closed, both byte orders, number bases) and
// all actions.
RandomPolicyShape AnyPolicy();

// Well-formed as the type checker leaves it: rules sorted, constants extended as their operands
// are. Every operator, width and signedness, masks, ranges, nesting, register pairs, several
// clauses and lists; constants come from a small stock, so that comparisons meet.
policy::TypedPolicy RandomTypedPolicy(Random& random, const RandomPolicyShape& shape);

// A call that is likely to sit on an edge of the policy: arguments at, beside and with other upper
// bits than its constants; numbers of its rules and the edges of the number space.
abi::Call RandomCall(Random& random, const policy::TypedPolicy& policy);

// The smallest policy, by taking parts away, for which `fails` still holds. `fails(policy)` must.
policy::TypedPolicy Shrink(policy::TypedPolicy policy,
                           const std::function<bool(const policy::TypedPolicy&)>& fails);

// For failure messages.
std::string Describe(const policy::TypedPolicy& policy);
std::string Describe(const abi::Call& call);

}  // namespace callgate::testing
