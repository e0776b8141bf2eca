#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "kernel/kernel.h"

namespace callgate::supervise {

// Copies out of the target's memory: what is decided on and performed with. A copy is made once;
// the target may change its memory at any time, also between two pages of one string.
//
// The errno is what the kernel would have given the call (EFAULT, ENAMETOOLONG), or ESRCH: the
// supervisor cannot look, the target is gone or may not be read.

// Paths and names, as the kernel takes them: PATH_MAX and XATTR_NAME_MAX count the NUL.
inline constexpr std::size_t kMaxPath = 4096;
inline constexpr std::size_t kMaxXattrName = 256;
// An argument or variable of an exec (MAX_ARG_STRLEN), and all of them: no stack limit lets the
// kernel take more than three quarters of _STK_LIM (fs/exec.c, bprm_stack_limits).
inline constexpr std::size_t kMaxArgument = 131'072;
inline constexpr std::size_t kMaxArguments = 6U << 20U;

// The bytes before the NUL. ENAMETOOLONG: no NUL within `limit` bytes.
kernel::SysResult<std::string> CopyString(kernel::Kernel& kernel, pid_t tid, std::uint64_t address,
                                          std::size_t limit);
// All of them or EFAULT.
kernel::SysResult<std::vector<std::byte>> CopyBytes(kernel::Kernel& kernel, pid_t tid,
                                                    std::uint64_t address, std::size_t size);
// The strings that a vector of pointers with a null pointer at its end points to; none at address
// 0. E2BIG: more than the kernel takes.
kernel::SysResult<std::vector<std::string>> CopyStrings(kernel::Kernel& kernel, pid_t tid,
                                                        std::uint64_t address);

}  // namespace callgate::supervise
