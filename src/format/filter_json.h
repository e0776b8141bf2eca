#pragma once

#include <string_view>

#include "base/error.h"
#include "bpf/program.h"

namespace callgate::format {

// Reads what bpf::EncodeJson writes: [{"code": 32, "jt": 0, "jf": 0, "k": 4}, …]. Checks the form
// alone, never the program.
base::Result<bpf::Program> DecodeFilterJson(std::string_view text);

}  // namespace callgate::format
