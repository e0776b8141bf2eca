#include "bpf/opcodes.h"

#include <algorithm>
#include <array>

namespace callgate::bpf {
namespace {

constexpr bool kYes = true;
constexpr bool kNo = false;

constexpr OpcodeInfo kOpcodes[] = {
#define CG_OPCODE(name, code, mnemonic, effect, operand, seccomp, emulated, meaning) \
  {Opcode::k##name, mnemonic, Effect::effect, Operand::operand, seccomp, emulated},
#include "bpf/opcodes.def"
#undef CG_OPCODE
};
static_assert(std::ranges::count_if(kOpcodes, &OpcodeInfo::seccomp) == 41,
              "the list of seccomp_check_filter, kernel/seccomp.c");

// All codes lie below 0x100: class, size, mode or operation and source fill one byte.
constexpr std::size_t kCodes = 0x100;
constexpr std::uint8_t kNoRow = 0xff;

constexpr std::array<std::uint8_t, kCodes> IndexByCode() {
  std::array<std::uint8_t, kCodes> rows{};
  rows.fill(kNoRow);
  for (std::size_t row = 0; row < std::size(kOpcodes); ++row) {
    rows[static_cast<std::size_t>(kOpcodes[row].opcode)] = static_cast<std::uint8_t>(row);
  }
  return rows;
}
constexpr std::array<std::uint8_t, kCodes> kRowOfCode = IndexByCode();

}  // namespace

const OpcodeInfo* FindOpcode(std::uint16_t code) {
  if (code >= kCodes || kRowOfCode[code] == kNoRow) return nullptr;
  return &kOpcodes[kRowOfCode[code]];
}

std::span<const OpcodeInfo> AllOpcodes() { return kOpcodes; }

}  // namespace callgate::bpf
