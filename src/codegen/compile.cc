// The pass list.
//
// Simplification comes first, so that searches are not built from ranges nobody can reach; and
// again at the end, because merged ranges decide tests that single comparisons did not. Masks and
// hoisting look for shapes in the rules as they were written, so they come before searches change
// them; runs are shared before the searches are built, because a shared run is one step of them.

#include "codegen/compile.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

#include "base/check.h"
#include "bpf/verify.h"
#include "codegen/dispatch.h"
#include "codegen/emit.h"
#include "codegen/hoist.h"
#include "codegen/layout.h"
#include "codegen/masks.h"
#include "codegen/share_runs.h"
#include "codegen/sink_arch.h"
#include "graph/simplify.h"

namespace callgate::codegen {
namespace {

using graph::Graph;

Graph RunSimplify(const Graph& graph, const CallWeights&) { return graph::Simplify(graph); }
Graph RunHoist(const Graph& graph, const CallWeights&) { return HoistCommonTests(graph); }
Graph RunMasks(const Graph& graph, const CallWeights&) { return TestByMask(graph); }
Graph RunSinkArch(const Graph& graph, const CallWeights&) { return SinkArch(graph); }

struct GraphPass {
  Pass pass;
  Graph (*run)(const Graph&, const CallWeights&);
};

constexpr std::array<GraphPass, 7> kGraphPasses = {{
    {{"simplify", "drop tests that earlier ones decide"}, RunSimplify},
    {{"hoist", "ask what all alternatives of a rule ask once, in front"}, RunHoist},
    {{"masks", "one test for all combinations of a few flag bits"}, RunMasks},
    {{"share-runs", "one search for numbers that several ABIs decide alike"}, ShareRuns},
    {{"search", "weighted search trees for numbers and argument values"}, RebuildDispatch},
    {{"tidy", "simplify once more"}, RunSimplify},
    {{"sink-arch", "the ABI is asked for only where the answer matters"}, RunSinkArch},
}};
constexpr Pass kLayout = {"layout", "the branch that more calls take falls through"};

constexpr auto kPasses = [] {
  std::array<Pass, kGraphPasses.size() + 1> passes;
  for (std::size_t i = 0; i < kGraphPasses.size(); ++i) passes[i] = kGraphPasses[i].pass;
  passes.back() = kLayout;
  return passes;
}();

bool Runs(const Options& options, const Pass& pass) {
  return std::ranges::find(options.without, pass.name) == options.without.end();
}

}  // namespace

std::span<const Pass> AllPasses() { return kPasses; }

base::Result<bpf::Program> Compile(const Graph& graph, const Options& options) {
  for (const std::string& name : options.without) {
    CG_CHECK(std::ranges::find(kPasses, name, &Pass::name) != kPasses.end());
  }
  const CallWeights weights(options.profile);
  if (options.after_pass) options.after_pass("", graph);
  Graph current = graph;
  for (const GraphPass& pass : kGraphPasses) {
    if (!Runs(options, pass.pass)) continue;
    current = pass.run(current, weights);
    if (options.after_pass) options.after_pass(pass.pass.name, current);
  }
  const bool is_hot = Runs(options, kLayout);
  if (is_hot && options.after_pass) options.after_pass(kLayout.name, current);
  bpf::Program program = Emit(current, is_hot ? HotLayout(current, weights) : PlainLayout(current));
  // Searches buy speed with size; at the limit size is all that counts.
  if (program.size() > bpf::kMaxInstructions) {
    bpf::Program plain = Emit(graph::Simplify(graph));
    if (plain.size() < program.size()) program = std::move(plain);
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
