#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "abi/arch.h"
#include "base/error.h"
#include "callgate/compile.h"
#include "codegen/compile.h"
#include "graph/graph.h"

namespace callgate {

// What the layers decide together.
graph::Graph FuseLayers(std::span<const Policy> layers);

// A profile's calls; fails at the first line that names no call.
base::Result<std::vector<codegen::CallCount>> ReadProfile(std::string_view text, abi::ArchId home);

// The options as the compiler takes them. Views into `options` and `profile`.
base::Result<codegen::Options> ToInternal(const CompileOptions& options, abi::ArchId home,
                                          std::vector<codegen::CallCount>& profile);

// The ABI of calls that name none.
abi::ArchId HomeOf(std::span<const Policy> layers);

}  // namespace callgate
