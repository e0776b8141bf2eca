#include "bpf/verify.h"

#include <fmt/format.h>

#include <optional>
#include <string_view>
#include <vector>

#include "base/check.h"
#include "bpf/opcodes.h"
#include "bpf/text.h"

// The kernel checks a filter in three passes: each instruction on its own, the last one, and the
// scratch memory. They are repeated here pass by pass, not re-thought, because the third is not
// what one would write: it walks the instructions in order with a mask of the cells that are surely
// written. A jump hands the mask to its targets and leaves "all written" behind; a RET does
// nothing of the kind, so that the instruction after a RET inherits its mask although no path leads
// there. A better analysis would accept programs that the kernel refuses.
//
// The kernel runs seccomp_check_filter last, over all instructions. Nothing depends on that order
// but which of two faults is met first, so here an instruction is judged at once.

namespace callgate::bpf {
namespace {

std::unexpected<VerifyError> Refuse(ProgramView program, std::size_t pc, std::string_view why) {
  return std::unexpected(VerifyError{
      pc, std::string(why),
      fmt::format("instruction {}, '{}': {}", pc, InstructionText(program[pc], pc), why)});
}

// Why seccomp takes no instruction like this, and what to write instead.
std::string_view WhyNotInSeccomp(const OpcodeInfo& info) {
  switch (info.effect) {
    case Effect::kLoadA:
      return "not allowed in seccomp filters; load an aligned word, ld [0] to ld [60]";
    case Effect::kAlu:
      return "not allowed in seccomp filters; use div, mul and sub, or and for a power of two";
    case Effect::kReturn:
      return "not allowed; move X into A with txa, then ret a";
    default:
      return "not allowed in seccomp filters";
  }
}

// Faults of an operand, whatever stands around it. nullopt: none.
std::optional<std::string> OperandFault(const OpcodeInfo& info, std::uint32_t k) {
  if (info.opcode == Opcode::kDivK && k == 0) return "division by zero";
  if ((info.opcode == Opcode::kLshK || info.opcode == Opcode::kRshK) && k >= 32) {
    return "a register has 32 bits; shift by 0 to 31";
  }
  if (info.operand == Operand::kCell && k >= kMemoryCells) {
    return "scratch memory has the cells M[0] to M[15]";
  }
  if (info.operand == Operand::kWord) {
    if (k >= kDataLength) return "a call has 64 bytes; the last word is [60]";
    if (k % 4 != 0) return "a word starts at a multiple of 4";
  }
  return std::nullopt;
}

bool LeavesProgram(const OpcodeInfo& info, const Instruction& instruction, std::size_t pc,
                   std::size_t size) {
  const std::size_t behind = size - pc - 1;  // instructions that follow
  switch (info.effect) {
    case Effect::kJumpAlways:
      return instruction.k >= behind;
    case Effect::kJump:
      return instruction.jt >= behind || instruction.jf >= behind;
    default:
      return false;
  }
}

std::expected<void, VerifyError> CheckInstructions(ProgramView program) {
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    const Instruction& instruction = program[pc];
    const OpcodeInfo* info = FindOpcode(instruction.code);
    if (info == nullptr) {
      const std::string reason =
          fmt::format("code {:#06x} is no classic BPF instruction", instruction.code);
      return std::unexpected(
          VerifyError{pc, reason, fmt::format("instruction {}: {}", pc, reason)});
    }
    if (!info->seccomp) return Refuse(program, pc, WhyNotInSeccomp(*info));
    if (auto fault = OperandFault(*info, instruction.k)) return Refuse(program, pc, *fault);
    if (LeavesProgram(*info, instruction, pc, program.size())) {
      return Refuse(
          program, pc,
          fmt::format("jumps past the end; the last instruction is l{}", program.size() - 1));
    }
  }
  return {};
}

std::expected<void, VerifyError> CheckMemory(ProgramView program) {
  using CellMask = std::uint16_t;  // bit n: M[n] is surely written
  constexpr CellMask kAll = 0xffff;
  static_assert(kMemoryCells == 16, "one bit a cell");
  std::vector<CellMask> at_target(program.size(), kAll);
  CellMask written = 0;
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    written &= at_target[pc];
    const Instruction& instruction = program[pc];
    const OpcodeInfo* info = FindOpcode(instruction.code);
    CG_CHECK(info != nullptr);
    switch (info->effect) {
      case Effect::kStoreA:
      case Effect::kStoreX:
        written |= static_cast<CellMask>(1U << instruction.k);
        break;
      case Effect::kLoadA:
      case Effect::kLoadX:
        if (info->operand == Operand::kCell && (written & (1U << instruction.k)) == 0) {
          return Refuse(program, pc,
                        "read before every way here has written it (the kernel counts falling "
                        "through a ret as a way)");
        }
        break;
      case Effect::kJumpAlways:
        at_target[pc + 1 + instruction.k] &= written;
        written = kAll;
        break;
      case Effect::kJump:
        at_target[pc + 1 + instruction.jt] &= written;
        at_target[pc + 1 + instruction.jf] &= written;
        written = kAll;
        break;
      case Effect::kAlu:
      case Effect::kReturn:
        break;
    }
  }
  return {};
}

}  // namespace

std::expected<void, VerifyError> Verify(ProgramView program) {
  auto refuse_length = [](const std::string& why) {
    return std::unexpected(VerifyError{0, why, why});
  };
  if (program.empty()) {
    return refuse_length(
        fmt::format("the program is empty; a filter has 1 to {} instructions", kMaxInstructions));
  }
  if (program.size() > kMaxInstructions) {
    return refuse_length(fmt::format("the program has {} instructions; the kernel's limit is {}",
                                     program.size(), kMaxInstructions));
  }
  if (auto result = CheckInstructions(program); !result) return result;
  const OpcodeInfo* last = FindOpcode(program.back().code);
  CG_CHECK(last != nullptr);
  if (last->effect != Effect::kReturn) {
    return Refuse(program, program.size() - 1, "the last instruction must be ret");
  }
  return CheckMemory(program);
}

}  // namespace callgate::bpf
