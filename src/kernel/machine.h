#pragma once

#include <sys/types.h>
#include <sys/user.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <vector>

#include "abi/call.h"

// What differs by processor when a stopped thread is looked at or made to do a system call. One
// file implements this for each processor (machine_x86_64.cc); the rest of callgate is portable.

namespace callgate::kernel {

using Registers = user_regs_struct;

// Can a filter be injected on the processor this was compiled for?
extern const bool kLaunchIsPorted;

enum class InjectedCall : std::uint8_t { kSeccomp, kClone, kClose, kExitThread, kExitGroup };

// Do these registers belong to a 32-bit program?
bool Is32Bit(const Registers& registers);
std::uint64_t StackPointer(const Registers& registers);
std::uint64_t InstructionPointer(const Registers& registers);

// An 8-byte word that starts with the machine's system-call instruction; the rest is `word`.
std::uint64_t WithSyscallInstruction(std::uint64_t word, bool is_32bit);
// Registers that make the thread execute the system-call instruction at `instruction_address`.
Registers PrepareCall(Registers registers, bool is_32bit, InjectedCall call,
                      std::uint64_t instruction_address,
                      const std::array<std::uint64_t, 5>& arguments);
// What the call returned: a value, or -errno.
std::int64_t ResultOf(const Registers& registers, bool is_32bit);
// Argument list of clone(2) for the parent's stack and flags: its order differs by processor.
std::array<std::uint64_t, 5> CloneArguments(std::uint64_t flags);
// struct sock_fprog as the program sees it (compat layout for a 32-bit one).
std::vector<std::byte> EncodeFilterPointer(bool is_32bit, std::uint16_t instruction_count,
                                           std::uint64_t address);

// The call in the registers of a thread that is inside it. `arch` is its AUDIT_ARCH_*.
abi::Call CallIn(const Registers& registers, std::uint32_t arch);
// Do the registers look like those of a thread that a filter refused? The kernel rolls them back
// (result register = call number) or leaves the result at -ENOSYS; a thread that slept in a call
// when somebody else ended the process shows another error there.
bool LooksRefused(const Registers& registers);

// Does the kernel run 32-bit programs beside native ones? Asked by a child process that tries.
bool RunsCompatPrograms();

// ptrace(2) requests that exist in this form on this processor only.
std::expected<Registers, int> ReadRegisters(pid_t tid);
std::expected<void, int> WriteRegisters(pid_t tid, const Registers& registers);

}  // namespace callgate::kernel
