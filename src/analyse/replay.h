#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "abi/call.h"
#include "base/error.h"
#include "bpf/program.h"
#include "kernel/kernel.h"

namespace callgate::analyse {

// One call before the running kernel.
struct Replay {
  std::optional<std::uint32_t> value;  // what the filter returned; nullopt: it was not tried
  std::string reason;                  // why not: "the call is not one of x86_64"
};

// What a filter, run by the kernel, returns for each call. The calls have no effect. Nothing of the
// caller changes; children are started and end. Fails where the kernel does not take the filter.
base::Result<std::vector<Replay>> ReplayOnKernel(kernel::Kernel& kernel, bpf::ProgramView program,
                                                 std::span<const abi::Call> calls);

}  // namespace callgate::analyse
