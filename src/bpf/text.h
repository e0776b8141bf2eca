#pragma once

#include <cstddef>
#include <cstdint>
#include <string>

#include "bpf/program.h"

namespace callgate::bpf {

enum class Radix : std::uint8_t { kHex, kDecimal };

// "jeq #0xc000003e, l4, l7": one instruction as the kernel's bpf_asm writes it. Labels are
// absolute: l4 is instruction 4, `pc` the place of this one. Total: a code without a name is
// written as
// ".insn 0x0055, 1, 2, 0x3" (code, jt, jf, k). `radix` is for the constant alone.
std::string InstructionText(const Instruction& instruction, std::size_t pc,
                            Radix radix = Radix::kHex);

// The form every instruction has, and nothing is lost in: ".insn 0x0055, 1, 2, 0x3".
std::string RawInstructionText(const Instruction& instruction);

// Does InstructionText say all of the instruction? Not if fields are set that it does not use, or
// if it jumps out of a program of `size` instructions, where no label can stand.
bool TextIsExact(const Instruction& instruction, std::size_t pc, std::size_t size);

}  // namespace callgate::bpf
