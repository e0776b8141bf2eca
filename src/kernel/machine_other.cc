// Processors without a machine file: launching says so before anything starts, so none of the
// functions below is ever reached.

#include "base/check.h"
#include "kernel/machine.h"

namespace callgate::kernel {

const bool kLaunchIsPorted = false;

namespace {
[[noreturn]] void NotPorted() { base::CheckFailed(__FILE__, __LINE__, "kLaunchIsPorted"); }
}  // namespace

bool Is32Bit(const Registers&) { NotPorted(); }
std::uint64_t StackPointer(const Registers&) { NotPorted(); }
std::uint64_t InstructionPointer(const Registers&) { NotPorted(); }
std::uint64_t WithSyscallInstruction(std::uint64_t, bool) { NotPorted(); }
Registers PrepareCall(Registers, bool, InjectedCall, std::uint64_t,
                      const std::array<std::uint64_t, 5>&) {
  NotPorted();
}
std::int64_t ResultOf(const Registers&, bool) { NotPorted(); }
std::array<std::uint64_t, 5> CloneArguments(std::uint64_t) { NotPorted(); }
std::vector<std::byte> EncodeFilterPointer(bool, std::uint16_t, std::uint64_t) { NotPorted(); }
abi::Call CallIn(const Registers&, std::uint32_t) { NotPorted(); }
bool LooksRefused(const Registers&) { NotPorted(); }
bool RunsCompatPrograms() { return false; }
std::expected<Registers, int> ReadRegisters(pid_t) { NotPorted(); }
std::expected<void, int> WriteRegisters(pid_t, const Registers&) { NotPorted(); }

}  // namespace callgate::kernel
