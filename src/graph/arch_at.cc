#include "graph/arch_at.h"

namespace callgate::graph {

std::vector<std::optional<std::uint32_t>> ArchAt(const Pool& pool,
                                                 const std::vector<NodeId>& nodes) {
  struct Arrival {
    bool any = false;
    std::optional<std::uint32_t> arch;
  };
  std::vector<Arrival> arrivals(nodes.empty() ? 0 : nodes.back() + 1);  // by id
  auto arrive = [&](NodeId target, std::optional<std::uint32_t> arch) {
    Arrival& arrival = arrivals[target];
    if (arrival.any && arrival.arch != arch) arch.reset();
    arrival = {true, arch};
  };
  // Parents have larger ids than their children, so each node is left after all arrivals.
  for (std::size_t i = nodes.size(); i-- > 0;) {
    const Node& node = pool[nodes[i]];
    if (node.is_leaf) continue;
    const Predicate& p = node.predicate;
    const bool fixes = p.word == abi::kArchWord && p.op == Op::kEqual && p.mask == UINT32_MAX;
    const std::optional<std::uint32_t> arch = arrivals[nodes[i]].arch;
    arrive(node.yes, fixes ? p.constant : arch);
    arrive(node.no, arch);
  }
  std::vector<std::optional<std::uint32_t>> arch_at;
  arch_at.reserve(nodes.size());
  for (const NodeId id : nodes) arch_at.push_back(arrivals[id].arch);
  return arch_at;
}

}  // namespace callgate::graph
