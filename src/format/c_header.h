#pragma once

#include <string>
#include <string_view>

#include "bpf/program.h"

namespace callgate::format {

// [A-Za-z_][A-Za-z0-9_]*, and no word that C or C++ keeps for itself.
bool IsCIdentifier(std::string_view name);

// A header for C89 and C++ that needs nothing but linux/filter.h:
//   static const struct sock_filter NAME[NAME_LENGTH]
// `name` must satisfy IsCIdentifier. The same program and name give the same text.
std::string EncodeCHeader(bpf::ProgramView program, std::string_view name);

}  // namespace callgate::format
