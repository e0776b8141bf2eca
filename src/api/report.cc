// The figures of a filter, found by running it: every number of each ABI's table with zero
// arguments, and the kernel's search for constant allows.
//
// The installation time is estimated as measured in November 2026 on a 6.18 guest (a filter of 622
// instructions took 163 µs, one of 1246 took 290, a linear one of 1001 took 1023): 12 µs, 0.17 µs
// an instruction, and 2 ns for each step of the kernel's search over all numbers of the native and
// the compat ABI.

#include <algorithm>
#include <bit>
#include <iterator>

#include "abi/syscalls.h"
#include "api/compile.h"
#include "api/impl.h"
#include "api/layers.h"
#include "api/measure.h"
#include "bpf/cache.h"
#include "bpf/cost.h"
#include "bpf/interpret.h"
#include "bpf/opcodes.h"
#include "fmt/format.h"
#include "graph/reach.h"

namespace callgate {
namespace {

using graph::Graph;
using graph::NodeId;

// What decides calls with this number.
NodeId DecisionFor(const Graph& graph, const abi::CallWords& words) {
  NodeId id = graph.root;
  while (!graph.pool[id].is_leaf && graph.pool[id].predicate.word <= abi::kArchWord) {
    const graph::Node& node = graph.pool[id];
    id = node.predicate.Holds(words) ? node.yes : node.no;
  }
  return id;
}

std::string WordName(abi::ArchId arch, std::string_view syscall, int word) {
  if (word < 4) return "ip";
  const int slot = (word - 4) / 2;
  const auto signature = abi::SignatureOf(arch, syscall);
  const bool is_known = signature && static_cast<std::size_t>(slot) < signature->size();
  if (!is_known) return fmt::format("arg{}", slot);
  return fmt::format("arg{} ({})", slot, (*signature)[static_cast<std::size_t>(slot)].name);
}

// Whether a call can be allowed, and what decides it.
struct Decision {
  bool can_allow = false;
  std::vector<std::string> words;  // names, each once
};

Decision DecisionAt(const Graph& graph, NodeId root, abi::ArchId arch, std::string_view syscall) {
  Decision decision;
  for (const NodeId id : graph::ReachableFrom(graph.pool, root)) {
    const graph::Node& node = graph.pool[id];
    if (node.is_leaf) {
      decision.can_allow |= node.ret_value == abi::kAllow.value();
      continue;
    }
    const std::string name = WordName(arch, syscall, node.predicate.word);
    if (std::ranges::find(decision.words, name) == decision.words.end()) {
      decision.words.push_back(name);
    }
  }
  std::ranges::sort(decision.words);
  return decision;
}

// Where the layers speak about this call.
std::vector<std::string> PlacesOf(std::span<const Policy> layers, abi::ArchId arch,
                                  std::int32_t nr) {
  std::vector<std::string> places;
  for (const Policy& layer : layers) {
    const Policy::Impl& impl = layer.impl();
    for (const policy::ArchPolicy& arch_policy : impl.typed.arches) {
      if (arch_policy.arch != arch) continue;
      const auto rule = std::ranges::find(arch_policy.rules, nr, &policy::Rule::nr);
      if (rule == arch_policy.rules.end()) continue;
      for (const policy::ClauseList& list : rule->lists) {
        places.push_back(impl.sources.LineLabel(list.span));
      }
    }
  }
  return places;
}

std::string ReasonOf(const Decision& decision) {
  if (decision.words.empty()) return "the filter does not show it to the kernel";
  return fmt::format("{} {}", fmt::join(decision.words, ", "),
                     decision.words.size() == 1 ? "decides" : "decide");
}

CompileReport::Abi ReportOnAbi(std::span<const Policy> layers, const Graph& graph,
                               bpf::ProgramView program, abi::ArchId arch) {
  const abi::Arch& facts = abi::ArchOf(arch);
  CompileReport::Abi abi;
  abi.name = facts.name;
  std::size_t sum = 0;
  std::optional<std::int32_t> last_nr;
  for (const abi::Syscall& syscall : abi::SyscallsOf(arch)) {
    if (syscall.nr == last_nr) continue;  // a second name
    last_nr = syscall.nr;
    abi::Call call;
    call.nr = syscall.nr;
    call.arch = facts.audit_arch;
    const abi::CallWords words = abi::WordsOf(call, facts.endian);
    const std::size_t path = bpf::InterpretWithTrace(program, words).path.size();
    ++abi.numbers;
    sum += path;
    abi.worst_path = std::max(abi.worst_path, path);
    const bool is_cached =
        bpf::IsConstantAllow(program, static_cast<std::uint32_t>(syscall.nr), facts.audit_arch);
    if (!is_cached) abi.worst_uncached_path = std::max(abi.worst_uncached_path, path);
    const Decision decision = DecisionAt(graph, DecisionFor(graph, words), arch, syscall.name);
    if (!decision.can_allow) continue;
    ++abi.allowed;
    if (is_cached) {
      ++abi.cached;
    } else if (facts.nr_base == 0) {
      abi.uncached.push_back(
          {std::string(syscall.name), ReasonOf(decision), PlacesOf(layers, arch, syscall.nr)});
    }
  }
  if (facts.nr_base != 0) {
    abi.uncached.push_back({"every call", "the kernel keeps no cache for this ABI", {}});
  }
  if (abi.numbers > 0) abi.mean_path = static_cast<double>(sum) / static_cast<double>(abi.numbers);
  return abi;
}

// The most instructions that any call can run. Jumps go forward only, so from the end backwards.
std::size_t LongestPath(bpf::ProgramView program) {
  std::vector<std::size_t> longest(program.size(), 0);
  for (std::size_t i = program.size(); i-- > 0;) {
    const bpf::Instruction& in = program[i];
    const bpf::OpcodeInfo* info = bpf::FindOpcode(in.code);
    auto at = [&](std::size_t offset) { return longest[i + 1 + offset]; };
    switch (info->effect) {
      case bpf::Effect::kReturn:
        longest[i] = 1;
        break;
      case bpf::Effect::kJump:
        longest[i] = 1 + std::max(at(in.jt), at(in.jf));
        break;
      case bpf::Effect::kJumpAlways:
        longest[i] = 1 + at(in.k);
        break;
      default:  // everything else goes on behind itself
        longest[i] = 1 + at(0);
        break;
    }
  }
  return longest.front();
}

double EstimateInstall(const CompileReport& report) {
  double steps = 0;
  for (const CompileReport::Abi& abi : report.abis) {
    steps += abi.mean_path * static_cast<double>(abi.numbers);
  }
  return 12 + 0.17 * static_cast<double>(report.instructions) + 0.002 * steps;
}

// The ABIs that some layer speaks for, in the order they are named.
std::vector<abi::ArchId> ArchesOf(std::span<const Policy> layers) {
  std::vector<abi::ArchId> arches;
  for (const Policy& layer : layers) {
    for (const policy::ArchPolicy& arch : layer.impl().typed.arches) {
      if (std::ranges::find(arches, arch.arch) == arches.end()) arches.push_back(arch.arch);
    }
  }
  return arches;
}

}  // namespace

Result<CompileReport> ReportOn(std::span<const Policy> layers, const CompileOptions& options,
                               InstallTime install_time) {
  for (const Policy& layer : layers) {
    if (auto error = NeedsMoreThanAFilter(layer)) return std::unexpected(*error);
  }
  std::vector<codegen::CallCount> profile;
  auto internal = ToInternal(options, HomeOf(layers), profile);
  if (!internal) return std::unexpected(Error{internal.error().ToString()});
  CompileReport report;
  internal->after_pass = [&](std::string_view pass, const Graph& graph) {
    report.passes.push_back({pass.empty() ? "lower" : std::string(pass),
                             graph::ReachableFrom(graph.pool, graph.root).size()});
  };
  const Graph graph = FuseLayers(layers);
  const auto program = CompileValidated(graph, *internal);
  if (!program) return std::unexpected(Error{program.error().ToString()});
  report.instructions = program->size();
  report.instruction_limit = bpf::kMaxInstructions;
  report.converted = bpf::ConvertedSize(*program) + bpf::kFilterOverhead;
  report.converted_limit = bpf::kMaxStackSize;
  report.longest_path = LongestPath(*program);
  for (const abi::ArchId arch : ArchesOf(layers)) {
    report.abis.push_back(ReportOnAbi(layers, graph, *program, arch));
  }
  report.estimated_install_us = EstimateInstall(report);
  if (install_time == InstallTime::kMeasure) {
    const auto measured = MeasureInstall(*program);
    if (!measured) return std::unexpected(Error{measured.error().ToString()});
    report.measured_install_us = *measured;
  }
  return report;
}

}  // namespace callgate
