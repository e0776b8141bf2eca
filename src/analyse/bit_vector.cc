// Arithmetic as circuits: ripple carry, shift and add, restoring division, barrel shifter. Constant
// operands need no cases of their own; their bits are terminals, and what they decide folds away.
// Checked bit by bit against the opcode table's own meanings (symbolic_test.cc).

#include "analyse/bit_vector.h"

namespace callgate::analyse {
namespace {

template <typename Function>
BitVector Bitwise(const BitVector& a, const BitVector& b, Function function) {
  BitVector result{};
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = function(a[i], b[i]);
  return result;
}

BitVector AddWithCarry(Bdd& bdd, const BitVector& a, const BitVector& b, Bdd::Ref carry) {
  BitVector sum{};
  for (std::size_t i = 0; i < sum.size(); ++i) {
    const Bdd::Ref differ = bdd.Xor(a[i], b[i]);
    sum[i] = bdd.Xor(differ, carry);
    carry = bdd.Choose(differ, carry, a[i]);
  }
  return sum;
}

BitVector Complement(Bdd& bdd, const BitVector& a) {
  BitVector result{};
  for (std::size_t i = 0; i < result.size(); ++i) result[i] = bdd.Not(a[i]);
  return result;
}

// Positive: towards the higher bits.
BitVector Shifted(const BitVector& a, int distance) {
  BitVector result{};
  for (int i = 0; i < 32; ++i) {
    const int from = i - distance;
    result[i] = from >= 0 && from < 32 ? a[from] : Bdd::kFalse;
  }
  return result;
}

BitVector Shift(Bdd& bdd, BitVector a, const BitVector& amount, int direction) {
  for (int stage = 0; stage < 5; ++stage) {
    const BitVector moved = Shifted(a, direction * (1 << stage));
    a = Bitwise(moved, a,
                [&](Bdd::Ref yes, Bdd::Ref no) { return bdd.Choose(amount[stage], yes, no); });
  }
  return a;
}

}  // namespace

BitVector ConstantBits(std::uint32_t value) {
  BitVector bits{};
  for (int i = 0; i < 32; ++i) bits[i] = (value >> i & 1) != 0 ? Bdd::kTrue : Bdd::kFalse;
  return bits;
}

BitVector WordBits(Bdd& bdd, std::uint8_t word, std::uint32_t mask) {
  BitVector bits{};
  for (int i = 0; i < 32; ++i) {
    bits[i] = (mask >> i & 1) != 0 ? bdd.Variable(LevelOfBit(word, i)) : Bdd::kFalse;
  }
  return bits;
}

BitVector And(Bdd& bdd, const BitVector& a, const BitVector& b) {
  return Bitwise(a, b, [&](Bdd::Ref x, Bdd::Ref y) { return bdd.And(x, y); });
}

BitVector Or(Bdd& bdd, const BitVector& a, const BitVector& b) {
  return Bitwise(a, b, [&](Bdd::Ref x, Bdd::Ref y) { return bdd.Or(x, y); });
}

BitVector Xor(Bdd& bdd, const BitVector& a, const BitVector& b) {
  return Bitwise(a, b, [&](Bdd::Ref x, Bdd::Ref y) { return bdd.Xor(x, y); });
}

BitVector Add(Bdd& bdd, const BitVector& a, const BitVector& b) {
  return AddWithCarry(bdd, a, b, Bdd::kFalse);
}

BitVector Subtract(Bdd& bdd, const BitVector& a, const BitVector& b) {
  return AddWithCarry(bdd, a, Complement(bdd, b), Bdd::kTrue);
}

BitVector Multiply(Bdd& bdd, const BitVector& a, const BitVector& b) {
  BitVector sum = ConstantBits(0);
  for (int i = 0; i < 32 && !bdd.Exhausted(); ++i) {
    if (b[i] == Bdd::kFalse) continue;
    BitVector part = Shifted(a, i);
    for (Bdd::Ref& bit : part) bit = bdd.And(bit, b[i]);
    sum = Add(bdd, sum, part);
  }
  return sum;
}

BitVector Divide(Bdd& bdd, const BitVector& a, const BitVector& b) {
  BitVector quotient = ConstantBits(0);
  BitVector rest = ConstantBits(0);
  for (int i = 31; i >= 0 && !bdd.Exhausted(); --i) {
    const Bdd::Ref overflow = rest[31];  // then 2 * rest has 33 bits and is surely large enough
    rest = Shifted(rest, 1);
    rest[0] = a[i];
    quotient[i] = bdd.Or(overflow, AtLeast(bdd, rest, b));
    const BitVector less = Subtract(bdd, rest, b);
    rest = Bitwise(less, rest,
                   [&](Bdd::Ref yes, Bdd::Ref no) { return bdd.Choose(quotient[i], yes, no); });
  }
  return quotient;
}

BitVector ShiftLeft(Bdd& bdd, const BitVector& a, const BitVector& amount) {
  return Shift(bdd, a, amount, 1);
}

BitVector ShiftRight(Bdd& bdd, const BitVector& a, const BitVector& amount) {
  return Shift(bdd, a, amount, -1);
}

Bdd::Ref Equal(Bdd& bdd, const BitVector& a, const BitVector& b) {
  Bdd::Ref differ = Bdd::kFalse;
  for (std::size_t i = 0; i < a.size(); ++i) differ = bdd.Or(differ, bdd.Xor(a[i], b[i]));
  return bdd.Not(differ);
}

Bdd::Ref AtLeast(Bdd& bdd, const BitVector& a, const BitVector& b) {
  Bdd::Ref result = Bdd::kTrue;
  for (std::size_t i = 0; i < a.size(); ++i) {
    result = bdd.Choose(bdd.Xor(a[i], b[i]), a[i], result);
  }
  return result;
}

Bdd::Ref AnyCommonBit(Bdd& bdd, const BitVector& a, const BitVector& b) {
  Bdd::Ref any = Bdd::kFalse;
  for (std::size_t i = 0; i < a.size(); ++i) any = bdd.Or(any, bdd.And(a[i], b[i]));
  return any;
}

}  // namespace callgate::analyse
