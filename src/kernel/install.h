#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "base/error.h"
#include "kernel/kernel.h"

namespace callgate::kernel {

enum class InstallScope : std::uint8_t {
  kCallingThread,  // and its future threads and children
  kAllThreads,     // of the process (SECCOMP_FILTER_FLAG_TSYNC), all or none
};

// Sets no_new_privs and puts a filter (struct sock_filter, 8 bytes each) on the calling process for
// good. On failure nothing is filtered; no_new_privs stays set. The error names what the kernel's
// errno means here (seccomp(2), kernel/seccomp.c).
base::Result<void> InstallFilter(Kernel& kernel, std::span<const std::byte> program,
                                 InstallScope scope);

}  // namespace callgate::kernel
