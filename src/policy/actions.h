#pragma once

#include <optional>

#include "abi/arch.h"
#include "base/diagnostic.h"
#include "policy/ast.h"
#include "policy/report.h"
#include "policy/typed.h"

namespace callgate::policy {

// The action a policy names, with error numbers of `arch`. nullopt and a report if it is unknown,
// its number is out of range, or it needs the supervisor.
std::optional<PolicyAction> TypeAction(const ast::Action& action, abi::ArchId arch, Report& report);

}  // namespace callgate::policy
