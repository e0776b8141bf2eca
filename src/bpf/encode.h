#pragma once

#include <bit>
#include <string>
#include <string_view>

#include "base/error.h"
#include "bpf/program.h"

namespace callgate::bpf {

// Programs as bytes and text that machines read, and back. Reading checks the form alone, never the
// program: Verify does that. The listing for people is in disassemble.h.

// struct sock_filter array: code 16 bits, jt 8, jf 8, k 32, in the byte order of the machine that
// will load it.
std::string EncodeRaw(ProgramView program, std::endian order);
// Fails if the size is no multiple of 8, or holds more than kMaxInstructions.
base::Result<Program> DecodeRaw(std::string_view bytes, std::endian order);

// One instruction a line, "0015 03 00 c000003e": code jt jf k in hex of these widths.
std::string EncodeHex(ProgramView program);
// Reads four hex numbers a line, of any width that fits, 0x before them or not; blank lines are
// skipped. Errors name line and column.
base::Result<Program> DecodeHex(std::string_view text);

// [{"code": 32, "jt": 0, "jf": 0, "k": 4}, …], one instruction a line.
std::string EncodeJson(ProgramView program);

}  // namespace callgate::bpf
