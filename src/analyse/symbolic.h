#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "analyse/bdd.h"
#include "analyse/bit_vector.h"
#include "bpf/opcodes.h"
#include "graph/graph.h"

namespace callgate::analyse {

using ValueId = std::uint32_t;

// What a register holds as a function of the words of the call. Equal functions have equal ids,
// unless one of them is unknown.
struct Value {
  enum class Kind : std::uint8_t {
    kConstant,  // number
    kMasked,    // word & number; number is not 0
    kBits,      // index `number` into the diagrams' vectors
    kUnknown,   // the diagrams were exhausted; `number` says by which instruction
  };
  Kind kind = Kind::kConstant;
  std::uint8_t word = 0;
  std::uint32_t number = 0;

  bool operator==(const Value&) const = default;
};

// The outcome of a conditional jump.
struct Condition {
  enum class Kind : std::uint8_t {
    kConstant,   // truth
    kPredicate,  // one test of a graph
    kFunction,   // a diagram
    kUnknown,    // the diagrams were exhausted; `instruction` says where
  };
  Kind kind = Kind::kConstant;
  bool truth = false;
  graph::Predicate predicate = {};
  Bdd::Ref function = Bdd::kFalse;
  std::size_t instruction = 0;
};

// Interns values and computes with them. A word, a masked word and a constant, which is all that
// most filters ever hold, cost a table look-up; diagrams are made for the others.
class Values {
 public:
  ValueId Constant(std::uint32_t number) { return Intern({Value::Kind::kConstant, 0, number}); }
  ValueId Word(std::uint8_t word) { return Intern({Value::Kind::kMasked, word, UINT32_MAX}); }

  // A after an arithmetic instruction; `op` may be the variant for a constant or for X. A division
  // is meaningless where b is 0.
  ValueId Apply(bpf::Opcode op, ValueId a, ValueId b, std::size_t instruction);
  // Does a conditional jump take its true branch?
  Condition Test(bpf::Opcode op, ValueId a, ValueId b, std::size_t instruction);

  // Every number the value can be and where it is that number, or nullopt if there are more than
  // `limit`. The value must not be unknown.
  struct Case {
    std::uint32_t number = 0;
    Bdd::Ref where = Bdd::kFalse;
  };
  std::optional<std::vector<Case>> CasesOf(ValueId id, std::size_t limit);

  const Value& operator[](ValueId id) const { return values_[id]; }
  const Bdd& bdd() const { return bdd_; }

 private:
  struct Hash {
    std::size_t operator()(const Value& value) const;
  };

  ValueId Intern(const Value& value);
  ValueId InternBits(const BitVector& bits);
  BitVector BitsOf(ValueId id);
  // Diagrams get a share of what is left for each instruction, so that one that is beyond them
  // does not spoil the others.
  void BeginInstruction();
  bool EndInstruction();

  Bdd bdd_{0};
  std::vector<Value> values_;
  std::unordered_map<Value, ValueId, Hash> ids_;
  std::vector<BitVector> vectors_;
  std::map<BitVector, std::uint32_t> vector_ids_;
};

}  // namespace callgate::analyse
