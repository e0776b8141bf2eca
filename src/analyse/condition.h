#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "graph/graph.h"

namespace callgate::analyse {

// Whose words are tested.
struct CallName {
  abi::ArchId arch{};
  abi::Signature signature;  // empty: unknown
};

// In the policy language, which calls come from `root` to the leaf `ret_value`: "1" for all, "0"
// for none, "fd == 1 || fd == 2". The graph must test arguments and ip alone. nullopt: longer than
// a rule anybody could read.
std::optional<std::string> ConditionText(const graph::Pool& pool, graph::NodeId root,
                                         std::uint32_t ret_value, const CallName& call);

}  // namespace callgate::analyse
