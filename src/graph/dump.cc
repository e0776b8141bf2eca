#include "graph/dump.h"

#include <fmt/format.h>

#include <optional>
#include <unordered_map>
#include <vector>

#include "abi/syscalls.h"
#include "base/check.h"
#include "graph/arch_at.h"
#include "graph/reach.h"

namespace callgate::graph {
namespace {

std::string WordName(std::uint8_t word, std::endian order) {
  if (word == abi::kNrWord) return "nr";
  if (word == abi::kArchWord) return "arch";
  if (word == abi::IpLowWord(order)) return "ip.low";
  if (word == abi::IpHighWord(order)) return "ip.high";
  const int arg = (word - 4) / 2;
  return fmt::format("arg{}.{}", arg, word == abi::ArgLowWord(arg, order) ? "low" : "high");
}

// " (openat)" behind a number, " (x86_64)" behind an architecture.
std::string NameOf(const Predicate& predicate, std::optional<std::uint32_t> arch) {
  if (predicate.mask != UINT32_MAX) return {};
  if (predicate.word == abi::kArchWord) {
    for (const abi::Arch& known : abi::AllArches()) {
      if (known.audit_arch == predicate.constant) return fmt::format(" ({})", known.name);
    }
  }
  if (predicate.word == abi::kNrWord && arch) {
    const auto nr = static_cast<std::int32_t>(predicate.constant);
    const std::optional<abi::ArchId> id = abi::ArchOfCall(*arch, nr);
    const abi::Syscall* syscall = id ? abi::FindSyscall(*id, nr) : nullptr;
    if (syscall != nullptr) return fmt::format(" ({})", syscall->name);
  }
  return {};
}

std::string Label(const Node& node, std::optional<std::uint32_t> arch, std::endian order) {
  if (node.is_leaf) return abi::RetValueToString(node.ret_value);
  return ToString(node.predicate, order) + NameOf(node.predicate, arch);
}

}  // namespace

std::string ToString(const Predicate& predicate, std::endian order) {
  std::string text = WordName(predicate.word, order);
  if (predicate.mask != UINT32_MAX) text += fmt::format(" & {:#x}", predicate.mask);
  const std::string constant = predicate.word == abi::kNrWord
                                   ? fmt::format("{}", predicate.constant)
                                   : fmt::format("{:#x}", predicate.constant);
  switch (predicate.op) {
    case Op::kEqual:
      return text + " == " + constant;
    case Op::kGreater:
      return text + " > " + constant;
    case Op::kAtLeast:
      return text + " >= " + constant;
    case Op::kAnyBit:
      return text;
  }
  CG_CHECK(false);
}

std::string DumpText(const Graph& graph, std::endian order) {
  const std::vector<NodeId> nodes = ReachableFrom(graph.pool, graph.root);
  const std::vector<std::optional<std::uint32_t>> arch_at = ArchAt(graph.pool, nodes);
  std::unordered_map<NodeId, std::size_t> number;
  for (std::size_t i = 0; i < nodes.size(); ++i) number[nodes[i]] = i;
  std::string text;
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const Node& node = graph.pool[nodes[i]];
    text += fmt::format("n{}  {}", i, Label(node, arch_at[i], order));
    if (!node.is_leaf) text += fmt::format(" ? n{} : n{}", number[node.yes], number[node.no]);
    text += '\n';
  }
  return text;
}

std::string DumpDot(const Graph& graph, std::endian order) {
  const std::vector<NodeId> nodes = ReachableFrom(graph.pool, graph.root);
  const std::vector<std::optional<std::uint32_t>> arch_at = ArchAt(graph.pool, nodes);
  std::unordered_map<NodeId, std::size_t> number;
  for (std::size_t i = 0; i < nodes.size(); ++i) number[nodes[i]] = i;
  std::string text = "digraph filter {\n  node [fontname=\"monospace\"];\n";
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const Node& node = graph.pool[nodes[i]];
    text += fmt::format("  n{} [label=\"{}\", shape={}];\n", i, Label(node, arch_at[i], order),
                        node.is_leaf ? "box" : "ellipse");
    if (node.is_leaf) continue;
    text += fmt::format("  n{} -> n{};\n", i, number[node.yes]);
    text += fmt::format("  n{} -> n{} [style=dashed];\n", i, number[node.no]);
  }
  return text + "}\n";
}

}  // namespace callgate::graph
