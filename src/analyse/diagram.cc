// From a decision graph of words to a decision diagram of bits: the way back of express.cc.

#include "analyse/diagram.h"

#include <unordered_map>

#include "analyse/bit_vector.h"
#include "graph/reach.h"

namespace callgate::analyse {
namespace {

bool BitOf(std::uint32_t value, int bit) { return (value >> bit & 1) != 0; }

}  // namespace

// From the lowest bit up: what is built so far says how the bits below compare.
Bdd::Ref WhereHolds(Bdd& bdd, const graph::Predicate& p) {
  const bool is_equality = p.op == graph::Op::kEqual;
  std::uint32_t constant = p.constant;
  if (p.op == graph::Op::kAnyBit) constant = 1;
  if (p.op == graph::Op::kGreater) {
    if (constant == UINT32_MAX) return Bdd::kFalse;
    ++constant;
  }
  Bdd::Ref function = Bdd::kTrue;
  for (int bit = 0; bit < 32; ++bit) {
    const Bdd::Level level = LevelOfBit(p.word, bit);
    if (!BitOf(p.mask, bit)) {
      // The masked word's bit is 0: less, and not equal.
      if (BitOf(constant, bit)) function = Bdd::kFalse;
    } else if (BitOf(constant, bit)) {
      function = bdd.Make(level, Bdd::kFalse, function);
    } else {
      function = bdd.Make(level, function, is_equality ? Bdd::kFalse : Bdd::kTrue);
    }
  }
  return function;
}

Bdd::Ref WhereReturns(Bdd& bdd, const graph::Pool& pool, graph::NodeId root,
                      std::uint32_t ret_value) {
  std::unordered_map<graph::NodeId, Bdd::Ref> functions;
  for (const graph::NodeId id : graph::ReachableFrom(pool, root)) {
    const graph::Node& node = pool[id];
    if (node.is_leaf) {
      functions[id] = node.ret_value == ret_value ? Bdd::kTrue : Bdd::kFalse;
    } else {
      functions[id] = bdd.Choose(WhereHolds(bdd, node.predicate), functions.at(node.yes),
                                 functions.at(node.no));
    }
  }
  return functions.at(root);
}

}  // namespace callgate::analyse
