#pragma once

#include <cstddef>
#include <expected>
#include <string>

#include "bpf/program.h"

namespace callgate::bpf {

struct VerifyError {
  std::size_t pc;       // the instruction refused, from 0; 0 if the length is wrong
  std::string reason;   // "not allowed in seccomp filters; …"
  std::string message;  // complete: "instruction 3, 'ldb [0]': not allowed in seccomp filters; …"

  bool operator==(const VerifyError&) const = default;
};

// Would the kernel take this program as a seccomp filter? Where it refuses, it says EINVAL alone.
// Sources: bpf_check_classic and check_load_and_stores of net/core/filter.c, seccomp_check_filter
// of kernel/seccomp.c. The same answer for every program is tested against the running kernel. Not
// looked at: the limit on a whole stack of filters (cost.h) and the kernel's memory.
std::expected<void, VerifyError> Verify(ProgramView program);

}  // namespace callgate::bpf
