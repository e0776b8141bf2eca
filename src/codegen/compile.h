#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "base/error.h"
#include "bpf/program.h"
#include "codegen/weights.h"
#include "graph/graph.h"

namespace callgate::codegen {

// What is done to a graph before it is a filter, in this order. Every pass keeps the decisions and
// can be left out.
struct Pass {
  std::string_view name;
  std::string_view summary;  // one line
};
std::span<const Pass> AllPasses();

struct Options {
  // How often the program makes which calls, if that is known: hot ones come first.
  std::span<const CallCount> profile = {};
  // Names of passes to leave out.
  std::span<const std::string> without = {};
  // Called with the graph as it came, and after each pass that ran; "layout" changes no graph.
  std::function<void(std::string_view pass, const graph::Graph& graph)> after_pass = {};
};

// The filter for a graph, verified as the kernel would. The same graph and options give the same
// bytes. Fails when the program is longer than the kernel accepts.
base::Result<bpf::Program> Compile(const graph::Graph& graph, const Options& options = {});

}  // namespace callgate::codegen
