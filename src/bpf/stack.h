#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "abi/call.h"
#include "bpf/program.h"

namespace callgate::bpf {

struct StackVerdict {
  std::uint32_t ret_value = 0;
  // Which filter's value it is, as an index into the stack. nullopt: every filter allowed the call.
  std::optional<std::size_t> filter;

  bool operator==(const StackVerdict&) const = default;
};

// How strict a value is, as the kernel compares: the lower the stricter. Data does not count.
std::int32_t Precedence(std::uint32_t ret_value);

// The verdict of several filters on one call, as kernel/seccomp.c, seccomp_run_filters gives it:
// all run, newest first; the lowest action as a signed 32-bit number wins, its data is not
// compared, and on a tie the newest filter's data counts. An unknown action ranks by its number
// like any other. If all allow, the value is SECCOMP_RET_ALLOW without data.
//
// `filters` stand in the order they were installed, oldest first; there is at least one, and each
// passes Verify.
StackVerdict InterpretStack(std::span<const ProgramView> filters, const abi::CallWords& words);

}  // namespace callgate::bpf
