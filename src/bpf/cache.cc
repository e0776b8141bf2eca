#include "bpf/cache.h"

#include <algorithm>

#include "abi/action.h"
#include "abi/arch.h"
#include "abi/call.h"
#include "base/check.h"
#include "bpf/opcodes.h"

// When a filter is installed, the kernel runs it once for each number in an interpreter of its own
// that knows nr and arch and no more. Where it comes to RET ALLOW, calls with that number never run
// the filter again. It gives up, and the filter runs on each call, at a load of another word and at
// any instruction outside a short list, even one that could not change the answer. The list is the
// column `emulated` of opcodes.def. `ret #0x7fff0001` is an allow too, but the kernel compares the
// whole value.
//
// Checked against the bitmaps of the running kernel for random stacks (bench/kernel_cache.cc).

namespace callgate::bpf {
namespace {

// The bits are looked up by nr itself. x32 numbers carry bit 30 and mips numbers start at 4000, so
// the kernel keeps none for them (asm/seccomp.h, SECCOMP_ARCH_NATIVE and _COMPAT).
bool HasCache(std::uint32_t nr, std::uint32_t audit_arch) {
  const auto arch = abi::ArchOfCall(audit_arch, static_cast<std::int32_t>(nr));
  return arch && abi::ArchOf(*arch).nr_base == 0 && static_cast<std::int32_t>(nr) >= 0;
}

}  // namespace

bool IsConstantAllow(ProgramView program, std::uint32_t nr, std::uint32_t audit_arch) {
  constexpr bool kYes = true;
  constexpr bool kNo = false;
  if (!HasCache(nr, audit_arch)) return false;
  std::uint32_t a = 0;
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    const Instruction& instruction = program[pc];
    std::uint32_t b = instruction.k;
    if (instruction.code == static_cast<std::uint16_t>(Opcode::kLdAbs)) {
      if (b != 4 * abi::kNrWord && b != 4 * abi::kArchWord) return false;
      b = b == 4 * abi::kNrWord ? nr : audit_arch;
    }
    // One case a row, as in interpret.cc. Rows that the kernel knows have no operand but k and [k].
#define CG_OPCODE(name, code, mnemonic, effect, operand, seccomp, emulated, meaning)      \
  case Opcode::k##name: {                                                                 \
    if constexpr (!(emulated)) return false;                                              \
    const auto value = static_cast<std::uint32_t>(meaning);                               \
    if constexpr (Effect::effect == Effect::kReturn) return value == abi::kAllow.value(); \
    if constexpr (Effect::effect == Effect::kJump) {                                      \
      pc += value != 0 ? instruction.jt : instruction.jf;                                 \
    } else if constexpr (Effect::effect == Effect::kJumpAlways) {                         \
      pc += value;                                                                        \
    } else {                                                                              \
      a = value;                                                                          \
    }                                                                                     \
    break;                                                                                \
  }
    switch (static_cast<Opcode>(instruction.code)) {
#include "bpf/opcodes.def"
      default:
        CG_CHECK(false);  // not verified: no such instruction
    }
#undef CG_OPCODE
  }
  CG_CHECK(false);  // not verified: ran off the end
  return false;
}

bool IsConstantAllow(std::span<const ProgramView> filters, std::uint32_t nr,
                     std::uint32_t audit_arch) {
  return std::ranges::all_of(
      filters, [&](ProgramView filter) { return IsConstantAllow(filter, nr, audit_arch); });
}

}  // namespace callgate::bpf
