// The meaning of a graph, as plainly as it can be said. Everything else that handles graphs is
// compared with this walk.

#include "base/check.h"
#include "graph/graph.h"

namespace callgate::graph {

bool Predicate::Holds(const abi::CallWords& words) const {
  const std::uint32_t value = words[word] & mask;
  switch (op) {
    case Op::kEqual:
      return value == constant;
    case Op::kGreater:
      return value > constant;
    case Op::kAtLeast:
      return value >= constant;
    case Op::kAnyBit:
      return value != 0;
  }
  CG_CHECK(false);
}

std::uint32_t Evaluate(const Pool& pool, NodeId root, const abi::CallWords& words) {
  const Node* node = &pool[root];
  while (!node->is_leaf) node = &pool[node->predicate.Holds(words) ? node->yes : node->no];
  return node->ret_value;
}

}  // namespace callgate::graph
