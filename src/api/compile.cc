#include "api/compile.h"

#include <fmt/format.h>

#include <string>
#include <utility>

#include "abi/action.h"
#include "abi/arch.h"
#include "abi/call.h"
#include "analyse/compare.h"
#include "codegen/compile.h"

namespace callgate {
namespace {

constexpr const char* kAdvice = "this is a fault of callgate; please report it with the policy";

// The raw registers: whoever reads this looks at the filter, not at the policy.
std::string WitnessText(const abi::CallWords& words) {
  const auto nr = static_cast<std::int32_t>(words[abi::kNrWord]);
  const auto arch = abi::ArchOfCall(words[abi::kArchWord], nr);
  const std::endian order = arch ? abi::ArchOf(*arch).endian : std::endian::little;
  const abi::Call call = abi::CallOf(words, order);
  return fmt::format(
      "number {} of ABI {:#x}, arguments ({:#x}, {:#x}, {:#x}, {:#x}, {:#x}, {:#x}), "
      "instruction pointer {:#x}",
      call.nr, call.arch, call.args[0], call.args[1], call.args[2], call.args[3], call.args[4],
      call.args[5], call.ip);
}

}  // namespace

base::Result<bpf::Program> CompileValidated(graph::Graph source, const codegen::Options& options) {
  base::Result<bpf::Program> program = codegen::Compile(source, options);
  if (!program) return program;
  const analyse::Comparison comparison = analyse::CompareWithSource(source, *program);
  switch (comparison.equal) {
    case analyse::Answer::kHolds:
      return program;
    case analyse::Answer::kUndecided:
      return base::Fail({.operation = "prove that the filter is what the policy says",
                         .subject = fmt::format("({} instructions)", program->size()),
                         .reason = comparison.undecided,
                         .advice = "split the policy into layers"});
    case analyse::Answer::kFails:
      break;
  }
  const analyse::Difference& first = comparison.differences.front();
  return base::Fail(
      {.operation = "compile filter",
       .subject = "",
       .reason = fmt::format("internal error: the policy says {} for {}, the filter {}",
                             abi::RetValueToString(first.a_value), WitnessText(first.witness),
                             abi::RetValueToString(first.b_value)),
       .advice = kAdvice});
}

}  // namespace callgate
