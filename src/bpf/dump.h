#pragma once

#include <string_view>

#include "base/error.h"
#include "bpf/program.h"

namespace callgate::bpf {

// Reads the text of EncodeJson: an array of objects with the members code, jt, jf and k, each a
// number that fits. The form is checked, the program is not.
base::Result<Program> DecodeJson(std::string_view text);

// Reads what EncodeRaw, EncodeHex or EncodeJson wrote, whichever it is: the first byte that is no
// blank is '[' in JSON alone, and NUL bytes are in raw programs alone (no code needs its upper
// byte). A raw program is taken to be in this machine's byte order, unless its codes make sense in
// the other one only.
base::Result<Program> DecodeDump(std::string_view bytes);

}  // namespace callgate::bpf
