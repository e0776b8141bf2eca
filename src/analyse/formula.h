#pragma once

#include <span>
#include <string>
#include <string_view>

#include "bpf/program.h"

namespace callgate::analyse {

// SMT-LIB text (logic QF_BV, https://smt-lib.org) for provers that know nothing of graphs. In it
// w0 … w15 are the words of a call, each 32 bits wide.

// Declares the words, and (effect R) as analyse::EffectOf and (rank R), the lower the stricter.
std::string Preamble();

// Defines `name` as what the kernel returns for the words: of one filter, or of a stack, oldest
// first. Each filter passes bpf::Verify. A few lines an instruction.
std::string Definition(std::span<const bpf::ProgramView> filters, std::string_view name);

// "#x0000003e"
std::string Literal(std::uint32_t value);

}  // namespace callgate::analyse
