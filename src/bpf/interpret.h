#pragma once

#include <cstdint>
#include <vector>

#include "abi/call.h"
#include "bpf/program.h"

namespace callgate::bpf {

// What the kernel would return from this filter for this call: SECCOMP_RET_* | data, any 32 bits if
// the program ends with `ret a`. `words` are in the byte order of the machine the filter is for
// (abi::WordsOf). The program must pass Verify; one that does not may abort, but never reads or
// writes out of bounds.
std::uint32_t Interpret(ProgramView program, const abi::CallWords& words);

// The same, and the way there.
struct Trace {
  std::uint32_t ret_value = 0;
  std::vector<std::uint32_t>
      path;  // instructions executed, in order; the last one ended the program
};
Trace InterpretWithTrace(ProgramView program, const abi::CallWords& words);

}  // namespace callgate::bpf
