#pragma once

#include <cstdint>
#include <initializer_list>
#include <random>
#include <span>

#include "abi/call.h"
#include "bpf/opcodes.h"
#include "bpf/program.h"

namespace callgate::testing {

// How many random cases a test runs: CALLGATE_RANDOM_COUNT, or the default that fits a quick test,
// a tenth of it under sanitizers.
std::uint64_t RandomCount(std::uint64_t default_count);
// CALLGATE_RANDOM_SEED, or 1: whether a change may be merged must not depend on luck, so it is the
// long runs that look elsewhere. A test prints it with every failure.
std::uint64_t RandomSeed();

// Random filter programs and calls, dense in what goes wrong: boundary constants, every opcode,
// jumps to the last instruction, memory written on some ways only.
class ProgramGenerator {
 public:
  explicit ProgramGenerator(std::uint64_t seed) : random_(seed) {}

  // Passes Verify. Up to a few hundred instructions, `max_size` at most.
  bpf::Program Valid(std::size_t max_size = 600);
  // About half pass; the others have a fault or a few. Also 0, 4095, 4096 and 4097 instructions.
  bpf::Program NearValid();

  // Valid, and nearly all of instructions that the kernel's search for numbers that are always
  // allowed understands (bpf/cache.h): jumps, masks and constants around small numbers.
  bpf::Program NearlyEmulated();

  // A call whose words lie at and beside the program's constants. arch is AUDIT_ARCH_X86_64 or
  // _I386, other fields are anything.
  abi::Call CallFor(bpf::ProgramView program);

  std::uint64_t Below(std::uint64_t bound) { return random_() % bound; }
  bool OneIn(std::uint64_t n) { return Below(n) == 0; }

 private:
  std::uint32_t Pick(std::span<const std::uint32_t> values) { return values[Below(values.size())]; }
  std::uint32_t Value();
  std::uint32_t OperandValue(const bpf::OpcodeInfo& info);
  std::uint8_t Distance(std::size_t behind);
  std::size_t Size();
  bpf::Instruction Return();
  bpf::Instruction Step(std::size_t behind);
  bpf::Program Shape(std::size_t size);
  void Spoil(bpf::Program& program);
  std::uint32_t SpoiledOperand(const bpf::OpcodeInfo* info, std::size_t behind);

  std::mt19937_64 random_;
};

}  // namespace callgate::testing
