#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "abi/call.h"
#include "base/error.h"
#include "bpf/program.h"

namespace callgate::testing {

// The running kernel as the last word on filters: does it take a program, and what does the program
// answer. x86_64 only. Nothing here changes the calling thread but no_new_privs, which is set.

// Does the kernel take this program? Nothing is attached (kernel.md, TSYNC_ESRCH). About 15 µs.
class LoadCheck {
 public:
  LoadCheck();
  ~LoadCheck();
  LoadCheck(const LoadCheck&) = delete;
  LoadCheck& operator=(const LoadCheck&) = delete;

  bool Accepts(bpf::ProgramView program) const;

 private:
  class DivergedThread;
  std::unique_ptr<DivergedThread> thread_;
};

// Can the oracle make this call? arch must be AUDIT_ARCH_X86_64 or, where the kernel runs 32-bit
// programs, AUDIT_ARCH_I386; three numbers are out: uretprobe and uprobe, which the kernel lets
// through without asking a filter, and the one the oracle ends its children with.
bool CanIssue(const abi::Call& call);
// What a filter will see of it: the oracle chooses ip, and i386 has 32-bit arguments.
abi::Call AsIssued(abi::Call call);

// What the program returns to the kernel for each call, all 32 bits of it. The program runs as it
// is but for its RETs, which hand their values out as errnos. A return value of 0 where the program
// has no such RET is the kernel's division by zero. The program must pass Verify and, if it has a
// `ret a`, leave room for 4 instructions; calls must satisfy CanIssue. One process a program that
// returns constants, three if there is a `ret a`, and one more for each division by zero.
base::Result<std::vector<std::uint32_t>> KernelVerdicts(bpf::ProgramView program,
                                                        std::span<const abi::Call> calls);

// What a task sees of a verdict.
struct Outcome {
  enum class Kind : std::uint8_t { kReturned, kTrapped, kKilled };
  Kind kind = Kind::kKilled;
  std::int64_t value = 0;  // kReturned: the register; kTrapped: si_errno; kKilled: the signal

  bool operator==(const Outcome&) const = default;
};

// Makes one call under a stack of filters, unchanged, oldest first. Each must let seccomp(2)
// through, since the next one is installed under it. Fails if the kernel refuses a filter: ENOMEM
// is the limit on the whole stack.
base::Result<Outcome> RunUnderStack(std::span<const bpf::Program> filters, const abi::Call& call);

}  // namespace callgate::testing
