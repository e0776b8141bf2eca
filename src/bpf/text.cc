#include "bpf/text.h"

#include <fmt/format.h>

#include "base/check.h"
#include "bpf/opcodes.h"

namespace callgate::bpf {
namespace {

std::string Number(std::uint32_t value, Radix radix) {
  return radix == Radix::kDecimal || value < 10 ? fmt::format("{}", value)
                                                : fmt::format("{:#x}", value);
}

std::string OperandText(Operand operand, std::uint32_t k, std::size_t pc, Radix radix) {
  switch (operand) {
    case Operand::kNone:
    case Operand::kImplicitA:
    case Operand::kImplicitX:
      return "";
    case Operand::kConstant:
      return "#" + Number(k, radix);
    case Operand::kIndex:
      return "x";
    case Operand::kAccumulator:
      return "a";
    case Operand::kWord:
      return fmt::format("[{}]", k);
    case Operand::kLength:
      return "#len";
    case Operand::kCell:
      return fmt::format("M[{}]", k);
    case Operand::kTarget:
      return fmt::format("l{}", std::uint64_t{pc} + 1 + k);
    case Operand::kIndexed:
      return fmt::format("[x+{}]", k);
    case Operand::kIpHeader:
      return fmt::format("4*([{}]&0xf)", k);
  }
  CG_CHECK(false);
  return "";
}

bool UsesConstant(Operand operand) {
  switch (operand) {
    case Operand::kNone:
    case Operand::kIndex:
    case Operand::kAccumulator:
    case Operand::kImplicitA:
    case Operand::kImplicitX:
    case Operand::kLength:
      return false;
    case Operand::kConstant:
    case Operand::kWord:
    case Operand::kCell:
    case Operand::kTarget:
    case Operand::kIndexed:
    case Operand::kIpHeader:
      return true;
  }
  CG_CHECK(false);
  return false;
}

}  // namespace

std::string InstructionText(const Instruction& instruction, std::size_t pc, Radix radix) {
  const OpcodeInfo* info = FindOpcode(instruction.code);
  if (info == nullptr) return RawInstructionText(instruction);
  std::string text(info->mnemonic);
  if (std::string operand = OperandText(info->operand, instruction.k, pc, radix);
      !operand.empty()) {
    text += " " + operand;
  }
  if (info->effect == Effect::kJump) {
    text += fmt::format(", l{}, l{}", pc + 1 + instruction.jt, pc + 1 + instruction.jf);
  }
  return text;
}

std::string RawInstructionText(const Instruction& instruction) {
  return fmt::format(".insn {:#06x}, {}, {}, {:#x}", instruction.code, instruction.jt,
                     instruction.jf, instruction.k);
}

bool TextIsExact(const Instruction& instruction, std::size_t pc, std::size_t size) {
  const OpcodeInfo* info = FindOpcode(instruction.code);
  if (info == nullptr) return false;
  if (!UsesConstant(info->operand) && instruction.k != 0) return false;
  if (info->effect == Effect::kJumpAlways && std::uint64_t{pc} + 1 + instruction.k >= size) {
    return false;
  }
  if (info->effect == Effect::kJump) {
    return pc + 1 + instruction.jt < size && pc + 1 + instruction.jf < size;
  }
  return instruction.jt == 0 && instruction.jf == 0;
}

}  // namespace callgate::bpf
