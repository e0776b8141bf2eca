#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "abi/call.h"
#include "base/diagnostic.h"
#include "base/source.h"
#include "bpf/program.h"
#include "callgate/policy.h"
#include "graph/graph.h"
#include "policy/load.h"
#include "policy/typed.h"

namespace callgate {

// What a Policy holds. The source map keeps the text, so that every verdict can name its line.
struct Policy::Impl {
  std::string name;
  base::SourceMap sources;
  policy::LoadedPolicy loaded;
  policy::TypedPolicy typed;
  std::vector<Diagnostic> warnings;
  std::vector<std::string> files;
};

abi::Call ToInternal(const Call& call);
bpf::Program ToInternal(std::span<const Instruction> instructions);
std::vector<Instruction> ToPublic(bpf::ProgramView program);
std::vector<Diagnostic> ToPublic(const base::Diagnostics& diagnostics,
                                 const base::SourceMap& sources);

// nullopt: a filter alone keeps the policy. Else why what is asked of its filter cannot be told.
std::optional<Error> NeedsMoreThanAFilter(const Policy& policy);

// The public verdict for one of the policy's own.
Verdict Describe(const Policy::Impl& policy, const policy::Verdict& verdict, const abi::Call& call);

}  // namespace callgate
