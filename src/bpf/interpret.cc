#include "bpf/interpret.h"

#include <array>

#include "base/check.h"
#include "bpf/opcodes.h"

// A loop over one switch whose cases are written by the opcode table: an operand is fetched by its
// Operand, the meaning computed by the table's expression, the result put where the Effect says. So
// no instruction can mean one thing here and another in the lifter or the JIT.
//
// A and X start as 0 (the kernel's prologue clears them); M[] need not, since no verified program
// reads a cell before it writes it. Division by X = 0 ends the program with 0, which is
// SECCOMP_RET_KILL_THREAD: that is the kernel's rule for classic programs, not an accident of
// translation. Bounds are CG_CHECKs, not trust: a step costs one predictable compare more.
//
// Checked by table tests for each opcode and by random programs run beside the kernel
// (kernel_test.cc).

namespace callgate::bpf {
namespace {

struct NoPath {
  void Visit(std::size_t) {}
};
struct RecordedPath {
  std::vector<std::uint32_t>& path;
  void Visit(std::size_t pc) { path.push_back(static_cast<std::uint32_t>(pc)); }
};

struct Machine {
  std::uint32_t a = 0;
  std::uint32_t x = 0;
  std::array<std::uint32_t, kMemoryCells> cells{};
};

template <Operand kOperand>
std::uint32_t Fetch(const Instruction& instruction, const Machine& machine,
                    const abi::CallWords& words) {
  if constexpr (kOperand == Operand::kConstant || kOperand == Operand::kTarget) {
    return instruction.k;
  } else if constexpr (kOperand == Operand::kIndex || kOperand == Operand::kImplicitX) {
    return machine.x;
  } else if constexpr (kOperand == Operand::kAccumulator || kOperand == Operand::kImplicitA) {
    return machine.a;
  } else if constexpr (kOperand == Operand::kWord) {
    CG_CHECK(instruction.k < kDataLength);
    return words[instruction.k / 4];
  } else if constexpr (kOperand == Operand::kLength) {
    return kDataLength;
  } else if constexpr (kOperand == Operand::kCell) {
    CG_CHECK(instruction.k < kMemoryCells);
    return machine.cells[instruction.k];
  } else {
    return 0;
  }
}

constexpr bool IsStore(Effect effect) {
  return effect == Effect::kStoreA || effect == Effect::kStoreX;
}

template <typename Path>
std::uint32_t Run(ProgramView program, const abi::CallWords& words, Path path) {
  constexpr bool kYes = true;
  constexpr bool kNo = false;
  CG_CHECK(program.size() <= kMaxInstructions);
  Machine machine;
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    path.Visit(pc);
    const Instruction& instruction = program[pc];
    // One case a row. `if constexpr` keeps of each case only what its effect needs.
#define CG_OPCODE(name, code, mnemonic, effect, operand, seccomp, emulated, meaning)               \
  case Opcode::k##name: {                                                                          \
    CG_CHECK(seccomp);                                                                             \
    [[maybe_unused]] const std::uint32_t a = machine.a;                                            \
    [[maybe_unused]] const std::uint32_t b = Fetch<Operand::operand>(instruction, machine, words); \
    if constexpr (Opcode::k##name == Opcode::kDivX || Opcode::k##name == Opcode::kDivK) {          \
      if (b == 0) return 0;                                                                        \
    }                                                                                              \
    if constexpr (Effect::effect == Effect::kLoadA || Effect::effect == Effect::kAlu) {            \
      machine.a = (meaning);                                                                       \
    } else if constexpr (Effect::effect == Effect::kLoadX) {                                       \
      machine.x = (meaning);                                                                       \
    } else if constexpr (IsStore(Effect::effect)) {                                                \
      CG_CHECK(instruction.k < kMemoryCells);                                                      \
      machine.cells[instruction.k] = Effect::effect == Effect::kStoreA ? machine.a : machine.x;    \
    } else if constexpr (Effect::effect == Effect::kJump) {                                        \
      pc += (meaning) ? instruction.jt : instruction.jf;                                           \
    } else if constexpr (Effect::effect == Effect::kJumpAlways) {                                  \
      pc += instruction.k;                                                                         \
    } else {                                                                                       \
      return (meaning);                                                                            \
    }                                                                                              \
    break;                                                                                         \
  }
    switch (static_cast<Opcode>(instruction.code)) {
#include "bpf/opcodes.def"
      default:
        CG_CHECK(false);  // not verified: no such instruction
    }
#undef CG_OPCODE
  }
  CG_CHECK(false);  // not verified: ran off the end
  return 0;
}

}  // namespace

std::uint32_t Interpret(ProgramView program, const abi::CallWords& words) {
  return Run(program, words, NoPath{});
}

Trace InterpretWithTrace(ProgramView program, const abi::CallWords& words) {
  Trace trace;
  trace.ret_value = Run(program, words, RecordedPath{trace.path});
  return trace;
}

}  // namespace callgate::bpf
