#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "analyse/test_text.h"
#include "graph/graph.h"

namespace callgate::analyse {

// How tests of one word that hang together are written. Lists read best; test by test more of what
// a graph shares may be shared again by the graph that is made of the text.
enum class Wording : std::uint8_t { kLists, kTestByTest };

// In the policy language, which calls come from `root` to the leaf `ret_value`: "1" for all, "0"
// for none, "fd == 1 || fd == 2". The graph must test arguments and ip alone. nullopt: longer than
// a rule anybody could read.
std::optional<std::string> ConditionText(const graph::Pool& pool, graph::NodeId root,
                                         std::uint32_t ret_value, const CallName& call,
                                         Wording wording);

}  // namespace callgate::analyse
