#pragma once

#include <array>
#include <cstdint>

#include "analyse/bdd.h"

namespace callgate::analyse {

// A 32-bit number whose bits are functions; [0] is the lowest. The operations are those of an
// opcode (bpf/opcodes.def), modulo 2^32. If the diagrams are exhausted the result is meaningless.
using BitVector = std::array<Bdd::Ref, 32>;

// The level of one bit of a word of the call.
constexpr Bdd::Level LevelOfBit(std::uint8_t word, int bit) {
  return std::uint32_t{word} * 32 + (31 - static_cast<std::uint32_t>(bit));
}
constexpr std::uint8_t WordOfLevel(Bdd::Level level) {
  return static_cast<std::uint8_t>(level / 32);
}
constexpr int BitOfLevel(Bdd::Level level) { return 31 - static_cast<int>(level % 32); }

BitVector ConstantBits(std::uint32_t value);
// word & mask
BitVector WordBits(Bdd& bdd, std::uint8_t word, std::uint32_t mask);

BitVector And(Bdd& bdd, const BitVector& a, const BitVector& b);
BitVector Or(Bdd& bdd, const BitVector& a, const BitVector& b);
BitVector Xor(Bdd& bdd, const BitVector& a, const BitVector& b);
BitVector Add(Bdd& bdd, const BitVector& a, const BitVector& b);
BitVector Subtract(Bdd& bdd, const BitVector& a, const BitVector& b);
BitVector Multiply(Bdd& bdd, const BitVector& a, const BitVector& b);
// Where the divisor is 0 the quotient is meaningless.
BitVector Divide(Bdd& bdd, const BitVector& a, const BitVector& b);
// By the low five bits of `amount`.
BitVector ShiftLeft(Bdd& bdd, const BitVector& a, const BitVector& amount);
BitVector ShiftRight(Bdd& bdd, const BitVector& a, const BitVector& amount);

// Where does it hold?
Bdd::Ref Equal(Bdd& bdd, const BitVector& a, const BitVector& b);
Bdd::Ref AtLeast(Bdd& bdd, const BitVector& a, const BitVector& b);
Bdd::Ref AnyCommonBit(Bdd& bdd, const BitVector& a, const BitVector& b);

}  // namespace callgate::analyse
