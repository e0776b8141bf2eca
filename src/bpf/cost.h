#pragma once

#include <cstddef>

#include "bpf/program.h"

namespace callgate::bpf {

// The kernel limits a task's whole stack of filters, counted after it has turned them into its own
// instruction set: MAX_INSNS_PER_PATH of kernel/seccomp.c. Installing one more fails with ENOMEM if
//   ConvertedSize(new) + sum over installed filters of (ConvertedSize(filter) + kFilterOverhead)
// exceeds kMaxStackSize.
inline constexpr std::size_t kMaxStackSize = 32768;
inline constexpr std::size_t kFilterOverhead = 4;

// Instructions after the kernel's conversion (net/core/filter.c, bpf_convert_filter) of a program
// that passes Verify. With net.core.bpf_jit_harden set the kernel blinds constants afterwards and
// counts more.
std::size_t ConvertedSize(ProgramView program);

}  // namespace callgate::bpf
