#include "bpf/cost.h"

#include "base/check.h"
#include "bpf/opcodes.h"

namespace callgate::bpf {
namespace {

// The prologue clears A and X and keeps the context pointer.
constexpr std::size_t kPrologue = 3;

std::size_t ConvertedJump(const Instruction& instruction, const OpcodeInfo& info) {
  // The new instruction set has signed immediates: a constant with the top bit goes to a register.
  const bool wide = info.operand == Operand::kConstant && instruction.k >= 0x80000000U;
  // One jump is enough if one side falls through; "not jset" does not exist.
  const bool is_jset = info.opcode == Opcode::kJsetK || info.opcode == Opcode::kJsetX;
  const bool one = instruction.jf == 0 || (instruction.jt == 0 && !is_jset);
  return (wide ? 1U : 0U) + (one ? 1U : 2U);
}

std::size_t Converted(const Instruction& instruction) {
  const OpcodeInfo* info = FindOpcode(instruction.code);
  CG_CHECK(info != nullptr && info->seccomp);
  if (info->effect == Effect::kJump) return ConvertedJump(instruction, *info);
  if (info->opcode == Opcode::kRetK) return 2;  // move, exit
  if (info->opcode == Opcode::kDivX) return 5;  // copy X, test, clear A, exit, divide
  return 1;
}

}  // namespace

std::size_t ConvertedSize(ProgramView program) {
  std::size_t size = kPrologue;
  for (const Instruction& instruction : program) size += Converted(instruction);
  return size;
}

}  // namespace callgate::bpf
