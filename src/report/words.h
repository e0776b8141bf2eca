#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "graph/graph.h"
#include "report/model.h"

namespace callgate::report {

// A filter's value in words.
using VerdictText = std::function<std::string(std::uint32_t)>;

// What a decision by arguments alone says, as a list of rules of which the first that holds
// decides. Ways that would make the list longer than a reader follows are left out, and the last
// rule says so.
std::vector<ArgumentRule> DescribeBody(const graph::Pool& pool, graph::NodeId body,
                                       abi::ArchId arch, const abi::Syscall& syscall,
                                       const VerdictText& verdict_text);

}  // namespace callgate::report
