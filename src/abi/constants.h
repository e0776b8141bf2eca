#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "abi/arch.h"

namespace callgate::abi {

struct Constant {
  std::string_view name;
  std::uint64_t value;  // two's complement; negative C values are sign-extended to 64 bits
};

// Value of a constant on one ABI. `preferred_set` decides when sets disagree about a name (as
// the kernel's and glibc's PTRACE_READDATA do on sparc); other sets are then tried, in table order.
// nullopt: no such name, or not defined on this ABI, or the ABI's headers were never read
// (data/README.md).
std::optional<std::uint64_t> FindConstant(ArchId arch, std::string_view name,
                                          std::string_view preferred_set = {});
bool IsKnownConstantName(std::string_view name);
// The set that defines a name; empty if none.
std::string_view SetOfConstant(std::string_view name);
// Members of a set on one ABI, in table order; empty if there is no such set. "ioctl" is the union
// of all "ioctl.*". Lives until the process ends. Safe from several threads; not for a signal
// handler or a forked child.
const std::vector<Constant>& ConstantsOf(ArchId arch, std::string_view set);
std::span<const std::string_view> AllConstantNames();

// "O_RDONLY|O_CLOEXEC", "AF_INET", "TCGETS": the value in the set's words, unknown bits left in hex
// ("O_CREAT|0x100").
std::string FormatFlags(ArchId arch, std::string_view set, std::uint64_t value);
// An enumerated value with bits of a second set or-ed in: "SOCK_STREAM|SOCK_CLOEXEC".
std::string FormatEnum(ArchId arch, std::string_view set, std::string_view flags_set,
                       std::uint64_t value);
// The first name of the set with this value. A 32-bit value also matches a negative constant:
// 0xffffff9c is AT_FDCWD. nullopt: no constant of the set has this value.
std::optional<std::string_view> NameOfValue(ArchId arch, std::string_view set, std::uint64_t value);

// "EPERM" for 1. Numbers of the given ABI (mips, sparc, alpha, parisc differ).
std::optional<std::string_view> ErrnoName(ArchId arch, std::uint32_t value);
std::optional<std::uint32_t> ErrnoValue(ArchId arch, std::string_view name);

}  // namespace callgate::abi
