#pragma once

#include <seccomp.h>

#include <string>
#include <vector>

#include "bpf/program.h"
#include "codegen/compile.h"
#include "graph/graph.h"

namespace callgate::bench {

// The same profile made into a filter by callgate and by libseccomp. Nothing but the benchmarks
// links libseccomp.

enum class Abis : std::uint8_t { kX86_64, kAllThree };  // all three: with i386 and x32

// A benchmark rule list (tools/rules_to_policy.py describes the form).
struct RuleList {
  struct Rule {
    std::string name;
    std::uint32_t action;
    std::vector<scmp_arg_cmp> conditions;
  };
  std::uint32_t default_action = 0;
  std::vector<Rule> rules;
};
RuleList ReadRules(const std::string& path);

// As a program that uses the library does it: names resolved, rules added, the filter exported.
// `level` is SCMP_FLTATR_CTL_OPTIMIZE: 1 is the library's default, 2 what runc sets.
bpf::Program BuildByLibseccomp(const RuleList& rules, Abis abis, std::uint32_t level);

std::string ReadText(const std::string& path);
graph::Graph GraphOfPolicy(const std::string& text);
bpf::Program BuildByCallgate(const graph::Graph& graph, const codegen::Options& options = {});

}  // namespace callgate::bench
