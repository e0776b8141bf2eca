#pragma once

#include <cstdint>
#include <string_view>

#include "abi/arch.h"
#include "abi/syscalls.h"

namespace callgate::format {

// Older 32-bit ABIs (i386, s390, ppc, mips, …) reach sockets and System V IPC through one call
// each, whose first argument says which is meant. libseccomp gives a rule for `socket` a companion
// for socketcall(SYS_SOCKET, …).
struct Multiplexed {
  const abi::Syscall* call = nullptr;  // socketcall or ipc of this ABI; nullptr: not multiplexed
  std::uint64_t number = 0;            // first argument
};
Multiplexed MultiplexerOf(const abi::Arch& arch, std::string_view name);

}  // namespace callgate::format
