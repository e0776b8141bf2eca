#include "analyse/symbolic.h"

#include <algorithm>
#include <bit>

#include "base/check.h"

namespace callgate::analyse {
namespace {

using bpf::Opcode;

// Together some hundredths of a second; a comparison of two words of the call, which has no small
// diagram, is given up after a few milliseconds.
constexpr std::uint64_t kMaxOperations = 1'000'000;
constexpr std::uint64_t kMaxOperationsPerInstruction = 30'000;

// The codes of "op #k" and "op x" differ in BPF_X (linux/bpf_common.h).
Opcode WithConstantOperand(Opcode op) {
  constexpr unsigned kOperandIsX = 0x08;
  return static_cast<Opcode>(static_cast<unsigned>(op) & ~kOperandIsX);
}

// The opcode table's meaning, on numbers.
std::uint32_t Compute(Opcode op, std::uint32_t a, std::uint32_t b) {
  static_cast<void>(a);
  switch (op) {
#define CG_OPCODE(name, code, mnemonic, effect, operand, seccomp, emulated, meaning) \
  case Opcode::k##name:                                                              \
    return static_cast<std::uint32_t>(meaning);
#include "bpf/opcodes.def"
#undef CG_OPCODE
  }
  CG_CHECK(false);
}

BitVector Compute(Bdd& bdd, Opcode op, const BitVector& a, const BitVector& b) {
  switch (op) {
    case Opcode::kAddK:
      return Add(bdd, a, b);
    case Opcode::kSubK:
      return Subtract(bdd, a, b);
    case Opcode::kMulK:
      return Multiply(bdd, a, b);
    case Opcode::kDivK:
      return Divide(bdd, a, b);
    case Opcode::kOrK:
      return Or(bdd, a, b);
    case Opcode::kAndK:
      return And(bdd, a, b);
    case Opcode::kXorK:
      return Xor(bdd, a, b);
    case Opcode::kLshK:
      return ShiftLeft(bdd, a, b);
    case Opcode::kRshK:
      return ShiftRight(bdd, a, b);
    case Opcode::kNeg:
      return Subtract(bdd, ConstantBits(0), a);
    default:
      CG_CHECK(false);
  }
}

Bdd::Ref Holds(Bdd& bdd, Opcode op, const BitVector& a, const BitVector& b) {
  switch (op) {
    case Opcode::kJeqK:
      return Equal(bdd, a, b);
    case Opcode::kJgtK:
      return bdd.Not(AtLeast(bdd, b, a));
    case Opcode::kJgeK:
      return AtLeast(bdd, a, b);
    case Opcode::kJsetK:
      return AnyCommonBit(bdd, a, b);
    default:
      CG_CHECK(false);
  }
}

graph::Predicate PredicateOf(Opcode op, const Value& masked, std::uint32_t constant) {
  const std::uint8_t word = masked.word;
  const std::uint32_t mask = masked.number;
  switch (op) {
    case Opcode::kJeqK:
      return {word, graph::Op::kEqual, mask, constant};
    case Opcode::kJgtK:
      return {word, graph::Op::kGreater, mask, constant};
    case Opcode::kJgeK:
      return {word, graph::Op::kAtLeast, mask, constant};
    case Opcode::kJsetK:
      return {word, graph::Op::kAnyBit, mask & constant, 0};
    default:
      CG_CHECK(false);
  }
}

}  // namespace

std::size_t Values::Hash::operator()(const Value& value) const {
  const std::uint64_t tag = static_cast<std::uint64_t>(value.kind) << 8 | value.word;
  const std::uint64_t hash = (tag << 32 | value.number) * 0x9e3779b97f4a7c15;
  return hash ^ hash >> 32;
}

ValueId Values::Intern(const Value& value) {
  const auto [entry, is_new] = ids_.try_emplace(value, static_cast<ValueId>(values_.size()));
  if (is_new) values_.push_back(value);
  return entry->second;
}

// The simplest kind that says the same.
ValueId Values::InternBits(const BitVector& bits) {
  std::uint32_t ones = 0;
  std::uint32_t mask = 0;
  std::optional<std::uint8_t> word;
  bool is_masked_word = true;
  for (int i = 0; i < 32; ++i) {
    const std::uint32_t bit = 1U << i;
    if (bits[i] == Bdd::kFalse) continue;
    if (bits[i] == Bdd::kTrue) {
      ones |= bit;
      continue;
    }
    const Bdd::Level level = bdd_.LevelOf(bits[i]);
    const bool is_own_bit = bdd_.Low(bits[i]) == Bdd::kFalse && bdd_.High(bits[i]) == Bdd::kTrue &&
                            BitOfLevel(level) == i &&
                            WordOfLevel(level) == word.value_or(WordOfLevel(level));
    is_masked_word = is_masked_word && is_own_bit;
    word = WordOfLevel(level);
    mask |= bit;
  }
  if (mask == 0) return Constant(ones);
  if (is_masked_word && ones == 0) return Intern({Value::Kind::kMasked, *word, mask});
  const auto [entry, is_new] =
      vector_ids_.try_emplace(bits, static_cast<std::uint32_t>(vectors_.size()));
  if (is_new) vectors_.push_back(bits);
  return Intern({Value::Kind::kBits, 0, entry->second});
}

BitVector Values::BitsOf(ValueId id) {
  const Value& value = values_[id];
  switch (value.kind) {
    case Value::Kind::kConstant:
      return ConstantBits(value.number);
    case Value::Kind::kMasked:
      return WordBits(bdd_, value.word, value.number);
    case Value::Kind::kBits:
      return vectors_[value.number];
    case Value::Kind::kUnknown:
      break;
  }
  CG_CHECK(false);
}

void Values::BeginInstruction() {
  const std::uint64_t left = kMaxOperations - std::min(kMaxOperations, bdd_.operations());
  bdd_.Refill(std::min(left, kMaxOperationsPerInstruction));
}

bool Values::EndInstruction() { return !bdd_.Exhausted(); }

ValueId Values::Apply(Opcode op, ValueId a, ValueId b, std::size_t instruction) {
  op = WithConstantOperand(op);
  const Value x = values_[a];
  const Value y = values_[b];
  if (x.kind == Value::Kind::kUnknown) return a;
  if (y.kind == Value::Kind::kUnknown && op != Opcode::kNeg) return b;
  if (y.kind == Value::Kind::kConstant) {
    if (op == Opcode::kDivK && y.number == 0) return Constant(0);
    if (x.kind == Value::Kind::kConstant) return Constant(Compute(op, x.number, y.number));
    if (op == Opcode::kAndK && x.kind == Value::Kind::kMasked) {
      const std::uint32_t mask = x.number & y.number;
      return mask == 0 ? Constant(0) : Intern({Value::Kind::kMasked, x.word, mask});
    }
  }
  BeginInstruction();
  const BitVector bits = Compute(bdd_, op, BitsOf(a), BitsOf(b));
  if (!EndInstruction()) {
    return Intern({Value::Kind::kUnknown, 0, static_cast<std::uint32_t>(instruction)});
  }
  return InternBits(bits);
}

Condition Values::Test(Opcode op, ValueId a, ValueId b, std::size_t instruction) {
  op = WithConstantOperand(op);
  const Value& x = values_[a];
  const Value& y = values_[b];
  for (const Value& value : {x, y}) {
    if (value.kind == Value::Kind::kUnknown) {
      return {.kind = Condition::Kind::kUnknown, .instruction = value.number};
    }
  }
  if (y.kind == Value::Kind::kConstant) {
    if (x.kind == Value::Kind::kConstant) return {.truth = Compute(op, x.number, y.number) != 0};
    if (x.kind == Value::Kind::kMasked) {
      return {.kind = Condition::Kind::kPredicate, .predicate = PredicateOf(op, x, y.number)};
    }
  }
  BeginInstruction();
  const Bdd::Ref function = Holds(bdd_, op, BitsOf(a), BitsOf(b));
  if (!EndInstruction()) return {.kind = Condition::Kind::kUnknown, .instruction = instruction};
  if (Bdd::IsTerminal(function)) return {.truth = function == Bdd::kTrue};
  return {.kind = Condition::Kind::kFunction, .function = function};
}

std::optional<std::vector<Values::Case>> Values::CasesOf(ValueId id, std::size_t limit) {
  BeginInstruction();
  const BitVector bits = BitsOf(id);
  std::vector<Case> cases = {{0, Bdd::kTrue}};
  for (int i = 31; i >= 0; --i) {
    std::vector<Case> finer;
    for (const Case& one : cases) {
      const Bdd::Ref set = bdd_.And(one.where, bits[i]);
      const Bdd::Ref clear = bdd_.Without(one.where, bits[i]);
      if (clear != Bdd::kFalse) finer.push_back({one.number, clear});
      if (set != Bdd::kFalse) finer.push_back({one.number | 1U << i, set});
    }
    if (!EndInstruction() || finer.size() > limit) return std::nullopt;
    cases = std::move(finer);
  }
  return cases;
}

}  // namespace callgate::analyse
