// x86_64: two kinds of programs (64-bit, and 32-bit ones on the same kernel), two system-call
// instructions, two number tables. A 64-bit tracer sees both through the 64-bit register
// structure; what a program is tells its code segment.

#include <linux/audit.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "kernel/machine.h"

namespace callgate::kernel {
namespace {

constexpr std::uint64_t kUserCode32 = 0x23;  // __USER32_CS, arch/x86/include/asm/segment.h

struct Numbers {
  std::uint32_t seccomp, clone, close, exit_thread, exit_group;
};
constexpr Numbers k64{317, 56, 3, 60, 231};
constexpr Numbers k32{354, 120, 6, 1, 252};

std::uint32_t NumberOf(InjectedCall call, const Numbers& numbers) {
  switch (call) {
    case InjectedCall::kSeccomp:
      return numbers.seccomp;
    case InjectedCall::kClone:
      return numbers.clone;
    case InjectedCall::kClose:
      return numbers.close;
    case InjectedCall::kExitThread:
      return numbers.exit_thread;
    case InjectedCall::kExitGroup:
      return numbers.exit_group;
  }
  return UINT32_MAX;
}

}  // namespace

const bool kLaunchIsPorted = true;

bool Is32Bit(const Registers& registers) { return registers.cs == kUserCode32; }
std::uint64_t StackPointer(const Registers& registers) { return registers.rsp; }
std::uint64_t InstructionPointer(const Registers& registers) { return registers.rip; }

std::uint64_t WithSyscallInstruction(std::uint64_t word, bool is_32bit) {
  constexpr std::uint64_t kSyscall = 0x050f;  // bytes 0f 05
  constexpr std::uint64_t kInt80 = 0x80cd;    // bytes cd 80
  return (word & ~std::uint64_t{0xffff}) | (is_32bit ? kInt80 : kSyscall);
}

Registers PrepareCall(Registers registers, bool is_32bit, InjectedCall call,
                      std::uint64_t instruction_address,
                      const std::array<std::uint64_t, 5>& arguments) {
  registers.rip = instruction_address;
  registers.rax = NumberOf(call, is_32bit ? k32 : k64);
  // Not inside a call: the kernel must not think of restarting the one before.
  registers.orig_rax = UINT64_MAX;
  if (is_32bit) {
    registers.rbx = arguments[0];
    registers.rcx = arguments[1];
    registers.rdx = arguments[2];
    registers.rsi = arguments[3];
    registers.rdi = arguments[4];
  } else {
    registers.rdi = arguments[0];
    registers.rsi = arguments[1];
    registers.rdx = arguments[2];
    registers.r10 = arguments[3];
    registers.r8 = arguments[4];
  }
  return registers;
}

std::int64_t ResultOf(const Registers& registers, bool is_32bit) {
  return is_32bit ? static_cast<std::int32_t>(registers.rax)
                  : static_cast<std::int64_t>(registers.rax);
}

std::array<std::uint64_t, 5> CloneArguments(std::uint64_t flags) { return {flags, 0, 0, 0, 0}; }

std::vector<std::byte> EncodeFilterPointer(bool is_32bit, std::uint16_t instruction_count,
                                           std::uint64_t address) {
  // struct sock_fprog { unsigned short len; struct sock_filter *filter; }, naturally aligned.
  std::size_t pointer_size = is_32bit ? 4 : 8;
  std::vector<std::byte> bytes(2 * pointer_size);
  std::memcpy(bytes.data(), &instruction_count, sizeof instruction_count);
  std::memcpy(bytes.data() + pointer_size, &address, pointer_size);
  return bytes;
}

abi::Call CallIn(const Registers& registers, std::uint32_t arch) {
  abi::Call call{.nr = static_cast<std::int32_t>(registers.orig_rax),
                 .arch = arch,
                 .ip = registers.rip,
                 .args = {}};
  if (arch == AUDIT_ARCH_I386) {
    call.args = {registers.rbx, registers.rcx, registers.rdx,
                 registers.rsi, registers.rdi, registers.rbp};
    for (std::uint64_t& argument : call.args) argument &= UINT32_MAX;
  } else {
    call.args = {registers.rdi, registers.rsi, registers.rdx,
                 registers.r10, registers.r8,  registers.r9};
  }
  return call;
}

bool LooksRefused(const Registers& registers) {
  auto result = static_cast<std::int32_t>(registers.rax);
  return result == static_cast<std::int32_t>(registers.orig_rax) || result == -ENOSYS;
}

bool RunsCompatPrograms() {
  pid_t pid = fork();
  if (pid == 0) {
    // getpid by the 32-bit entry; a kernel without it answers with SIGSEGV.
    std::signal(SIGSEGV, SIG_DFL);
    long result = 20;
    asm volatile("int $0x80" : "+a"(result) : : "memory", "r8", "r9", "r10", "r11");
    _exit(result > 0 ? 0 : 1);
  }
  int status = -1;
  while (pid > 0 && waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return pid > 0 && status == 0;
}

std::expected<Registers, int> ReadRegisters(pid_t tid) {
  Registers registers;
  if (ptrace(PTRACE_GETREGS, tid, nullptr, &registers) < 0) return std::unexpected(errno);
  return registers;
}

std::expected<void, int> WriteRegisters(pid_t tid, const Registers& registers) {
  if (ptrace(PTRACE_SETREGS, tid, nullptr, &registers) < 0) return std::unexpected(errno);
  return {};
}

}  // namespace callgate::kernel
