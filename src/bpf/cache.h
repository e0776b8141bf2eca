#pragma once

#include <cstdint>
#include <span>

#include "bpf/program.h"

namespace callgate::bpf {

// Will the kernel (5.11 and newer) let every call with this number pass without running the filter?
// The answer of kernel/seccomp.c, seccomp_is_const_allow, made once when a filter is installed.
//
// `nr` is what seccomp_data.nr holds. The kernel keeps one bit for each number of its own table and
// of its compat ABI's; so what it can look up are numbers that start at 0: never x32's, mips', or a
// negative one. A number that the running kernel's table does not reach is not cached either, but
// nothing is lost there. What newer x86_64 kernels let through whatever a filter says (uretprobe,
// uprobe) is not the filter's doing and not counted. `program` must pass Verify.
bool IsConstantAllow(ProgramView program, std::uint32_t nr, std::uint32_t audit_arch);

// The same for a stack: the kernel clears the bit as soon as one filter does not allow surely.
bool IsConstantAllow(std::span<const ProgramView> filters, std::uint32_t nr,
                     std::uint32_t audit_arch);

}  // namespace callgate::bpf
