#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "abi/action.h"
#include "abi/call.h"

namespace callgate::graph {

// The decision graph: the one intermediate form. Immutable nodes, hash-consed on their whole
// content, so equal sub-decisions are one node and equality of functions built the same way is
// equality of ids. A node's children always have smaller ids than the node: iterating by id visits
// children first, and there can be no cycle.

// How a masked word is compared with the constant. Unsigned; signed and 64-bit comparisons are
// split by wide.h.
enum class Op : std::uint8_t {
  kEqual,    // (word & mask) == constant
  kGreater,  // (word & mask) >  constant
  kAtLeast,  // (word & mask) >= constant
  kAnyBit,   // (word & mask) != 0; constant is 0
};

struct Predicate {
  std::uint8_t word = 0;  // 0..15, see abi/call.h
  Op op = Op::kEqual;
  std::uint32_t mask = UINT32_MAX;
  std::uint32_t constant = 0;

  bool operator==(const Predicate&) const = default;
  bool Holds(const abi::CallWords& words) const;
};

using NodeId = std::uint32_t;

struct Node {
  bool is_leaf = true;
  std::uint32_t ret_value = 0;  // leaf: what the filter returns (SECCOMP_RET_* | data)
  Predicate predicate;          // test
  NodeId yes = 0;
  NodeId no = 0;

  bool operator==(const Node&) const = default;
};

// Owns nodes. Several roots may share one pool. Values are ids; ids stay good as the pool grows.
class Pool {
 public:
  NodeId Leaf(std::uint32_t ret_value);
  NodeId Leaf(abi::Action action) { return Leaf(action.value()); }
  // Folds what needs no context: equal children, a test that every or no word passes, kAnyBit of
  // one bit …; canonical form of a predicate is chosen here and nowhere else.
  NodeId Test(Predicate predicate, NodeId yes, NodeId no);

  const Node& operator[](NodeId id) const { return nodes_[id]; }
  std::size_t size() const { return nodes_.size(); }

 private:
  NodeId Intern(const Node& node);
  void Grow();

  std::vector<Node> nodes_;
  // Open addressing: ids + 1 of nodes_, 0 is free. Its size is a power of two, at least twice as
  // many as there are nodes.
  std::vector<NodeId> slots_;
};

// A root in a pool: the decision for every call.
struct Graph {
  Pool pool;
  NodeId root = 0;
};

// The return value for one call.
std::uint32_t Evaluate(const Pool& pool, NodeId root, const abi::CallWords& words);

}  // namespace callgate::graph
