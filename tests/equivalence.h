#pragma once

// Four evaluators must agree on every call: Judge, which reads the typed policy as the language is
// defined; Evaluate on its decision graph; the interpreter on the filter that the graph was
// compiled to; and Evaluate on the graph that the filter was lifted to. The first three share no
// code. And the proof of each compile, which compares the two graphs, must hold. A disagreement is
// shrunk to the smallest policy that still shows it.

#include <optional>
#include <string>

#include "abi/arch.h"
#include "abi/call.h"
#include "analyse/compare.h"
#include "analyse/lift.h"
#include "bpf/interpret.h"
#include "codegen/compile.h"
#include "policy/lower.h"
#include "policy/typed.h"
#include "testing/random_typed_policy.h"

namespace callgate {

// The words of a call are in the byte order of the machine that makes it.
inline abi::CallWords WordsOf(const abi::Call& call) {
  const std::optional<abi::ArchId> arch = abi::ArchOfCall(call.arch, call.nr);
  return abi::WordsOf(call, arch ? abi::ArchOf(*arch).endian : std::endian::little);
}

// A policy in the forms that are compared.
class Subject {
 public:
  explicit Subject(const policy::TypedPolicy& policy, const codegen::Options& options = {})
      : policy_(policy),
        graph_(policy::Lower(policy)),
        program_(codegen::Compile(graph_, options)) {
    if (!program_) return;
    lifted_ = analyse::Lift(*program_, graph_.pool);
    proof_ = analyse::CompareWithSource(graph_, *program_).equal;
  }

  // What disagrees on this call; empty: nothing.
  std::string Disagreement(const abi::Call& call) const {
    const std::uint32_t judged = policy::KernelAction(policy::Judge(policy_, call).action).value();
    const std::uint32_t in_graph = graph::Evaluate(graph_.pool, graph_.root, WordsOf(call));
    std::string text;
    if (in_graph != judged) text = "graph " + abi::RetValueToString(in_graph);
    // Too long to be a filter: the graph must still be right.
    if (program_) {
      const std::uint32_t filtered = bpf::Interpret(*program_, WordsOf(call));
      if (filtered != judged) text += " filter " + abi::RetValueToString(filtered);
      const std::uint32_t lifted = graph::Evaluate(graph_.pool, lifted_.root, WordsOf(call));
      if (lifted != judged) text += " lifted filter " + abi::RetValueToString(lifted);
      if (proof_ != analyse::Answer::kHolds) text += " no proof of the compile";
    } else if (program_.error().operation != "compile filter") {
      text += " compiler: " + program_.error().ToString();
    }
    if (text.empty()) return text;
    return "policy says " + abi::RetValueToString(judged) + ", but" + text;
  }

  bool compiled() const { return program_.has_value(); }

 private:
  const policy::TypedPolicy& policy_;
  graph::Graph graph_;
  base::Result<bpf::Program> program_;
  analyse::Lifted lifted_;
  analyse::Answer proof_ = analyse::Answer::kUndecided;
};

// The smallest policy that still fails on this call, for the failure message.
inline std::string Report(const policy::TypedPolicy& policy, const abi::Call& call) {
  auto fails = [&](const policy::TypedPolicy& smaller) {
    return !Subject(smaller).Disagreement(call).empty();
  };
  const policy::TypedPolicy smallest = testing::Shrink(policy, fails);
  return Subject(smallest).Disagreement(call) + "\n" + testing::Describe(call) + "\n" +
         testing::Describe(smallest);
}

}  // namespace callgate
