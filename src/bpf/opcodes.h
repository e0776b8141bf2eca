#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace callgate::bpf {

// Typed access to opcodes.def, which explains the columns.

enum class Opcode : std::uint16_t {
#define CG_OPCODE(name, code, mnemonic, effect, operand, seccomp, emulated, meaning) \
  k##name = (code),
#include "bpf/opcodes.def"
#undef CG_OPCODE
};

enum class Effect : std::uint8_t {
  kLoadA,       // A = operand
  kLoadX,       // X = operand
  kStoreA,      // M[k] = A
  kStoreX,      // M[k] = X
  kAlu,         // A = meaning(A, operand)
  kJump,        // skip jt instructions if meaning(A, operand), else jf
  kJumpAlways,  // skip k instructions
  kReturn,      // the operand is the program's value
};

enum class Operand : std::uint8_t {
  kNone,
  kConstant,     // #k
  kIndex,        // x
  kAccumulator,  // a
  kImplicitA,    // A, unwritten: tax
  kImplicitX,    // X, unwritten: txa
  kWord,         // [k]: the word of the call at byte offset k
  kLength,       // #len: sizeof(struct seccomp_data), 64
  kCell,         // M[k]: scratch memory
  kTarget,       // a label
  kIndexed,      // [x+k]: socket filters only
  kIpHeader,     // 4*([k]&0xf): socket filters only
};

struct OpcodeInfo {
  Opcode opcode;
  std::string_view mnemonic;
  Effect effect;
  Operand operand;
  bool seccomp;   // seccomp(2) takes it
  bool emulated;  // the kernel's constant-allow search understands it
};

// nullptr: no classic BPF instruction has this code.
const OpcodeInfo* FindOpcode(std::uint16_t code);
std::span<const OpcodeInfo> AllOpcodes();

inline constexpr std::uint32_t kMemoryCells = 16;  // BPF_MEMWORDS, linux/filter.h
inline constexpr std::uint32_t kDataLength = 64;   // sizeof(struct seccomp_data)

}  // namespace callgate::bpf
