#pragma once

#include <string>

#include "bpf/program.h"

namespace callgate::bpf {

// A listing for people that is also exact: one instruction a line, in the syntax of the kernel's
// bpf_asm, each with its number as label; behind ';' what it means for a call.
//
//   l0:   ld [4]                          ; arch
//   l1:   jeq #0xc000003e, l3, l2         ; arch == x86_64
//   l2:   ret #0x80000000                 ; kill
//   l3:   ld [0]                          ; nr
//   l4:   jeq #60, l5, l6                 ; nr == exit
//
// The text without its comments says all of the program. What has no such form (codes without a
// name, values in fields that the instruction does not use, jumps past the end) is written as
// ".insn 0x0055, 1, 2, 0x3": code, jt, jf, k. Any program may be listed, verified or not.
std::string Disassemble(ProgramView program);

}  // namespace callgate::bpf
