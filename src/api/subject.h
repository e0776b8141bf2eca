#pragma once

#include <optional>
#include <string>
#include <vector>

#include "analyse/lift.h"
#include "bpf/program.h"
#include "callgate/analysis.h"
#include "graph/graph.h"

namespace callgate {

// Policies are analysed by their compiled filters, which are proved to be the policies: there is
// one way from a subject to its graph.
struct Subject::Impl {
  std::string name;
  std::vector<bpf::Program> filters;  // oldest first; each passes bpf::Verify
  std::optional<Policy> policy;       // where the one filter comes from, for places in its text
  bool is_imported = false;           // the policy was another format's

  analyse::Lifted LiftInto(graph::Pool& pool) const;
  // By the interpreter.
  std::uint32_t Run(const abi::CallWords& words) const;
};

}  // namespace callgate
