#include "codegen/compile.h"

#include <fmt/format.h>

#include <utility>

#include "base/check.h"
#include "bpf/verify.h"
#include "codegen/dispatch.h"
#include "codegen/emit.h"
#include "graph/simplify.h"

namespace callgate::codegen {

base::Result<bpf::Program> Compile(const graph::Graph& graph) {
  // Simplify first, so that the search trees are not built from ranges nobody can reach; and again,
  // because merged ranges decide tests that single comparisons did not.
  const graph::Graph simple = graph::Simplify(graph);
  bpf::Program program = Emit(graph::Simplify(RebuildDispatch(simple)));
  // Search trees may buy speed with size; at the limit size is all that counts.
  if (program.size() > bpf::kMaxInstructions) {
    if (bpf::Program plain = Emit(simple); plain.size() < program.size())
      program = std::move(plain);
  }
  if (program.size() > bpf::kMaxInstructions) {
    return base::Fail({.operation = "compile filter",
                       .subject = fmt::format("({} instructions)", program.size()),
                       .reason = fmt::format("the kernel's limit is {}", bpf::kMaxInstructions),
                       .advice = "split the policy into layers"});
  }
  // A program of ours that the kernel would refuse is our mistake, not the user's.
  CG_CHECK(bpf::Verify(program).has_value());
  return program;
}

}  // namespace callgate::codegen
