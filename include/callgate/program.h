#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "callgate/error.h"
#include "callgate/export.h"

namespace callgate {

// One classic BPF instruction, laid out as struct sock_filter of linux/filter.h.
struct Instruction {
  std::uint16_t code = 0;
  std::uint8_t jt = 0;
  std::uint8_t jf = 0;
  std::uint32_t k = 0;
};

// One system call as a filter sees it: struct seccomp_data of linux/seccomp.h. `arch` is an
// AUDIT_ARCH_* value.
struct Call {
  std::int32_t nr = 0;
  std::uint32_t arch = 0;
  std::uint64_t ip = 0;
  std::uint64_t args[6] = {};
};

enum class ProgramFormat : std::uint8_t {
  kRaw,      // struct sock_filter array in the byte order of the policy's first ABI, what `bwrap
             // --seccomp` reads
  kHex,      // one instruction a line: code jt jf k
  kListing,  // assembly with names, for people; `asm` text
  kCHeader,  // self-contained C89/C++ header
  kJson,
};

// A verified filter program: seccomp(2) accepts it.
class CALLGATE_EXPORT Program {
 public:
  // Checks as the kernel does (kernel/seccomp.c, seccomp_check_filter); the error names the
  // instruction.
  static Result<Program> FromInstructions(std::vector<Instruction> instructions);

  // The same for an array of struct sock_filter as it lies in memory: the array of a kCHeader file
  // (`std::as_bytes(std::span(worker_filter))`), or kRaw read on the machine it was written for.
  static Result<Program> FromBytes(std::span<const std::byte> bytes);
  // Reads filter assembly, a listing of Write or the syntax of the kernel's bpf_asm, and checks as
  // above. `name` stands for the file in messages.
  static std::expected<Program, Diagnostics> FromAssembly(const std::string& name,
                                                          std::string text);

  std::span<const Instruction> instructions() const { return instructions_; }

  // `name` is for kCHeader and must be a C identifier. kRaw may hold NUL bytes.
  Result<std::string> Write(ProgramFormat format, std::string_view name = "callgate_filter") const;

  // What the filter returns for a call: SECCOMP_RET_* | data. Exact kernel semantics, no kernel
  // needed.
  std::uint32_t Run(const Call& call) const;

 private:
  std::vector<Instruction> instructions_;
  friend class Policy;
};

// The instructions of a dump, as Write gives it in kRaw, kHex or kJson; which one, and the byte
// order of kRaw, is seen from the bytes. Not checked as a filter.
CALLGATE_EXPORT Result<std::vector<Instruction>> ReadDump(std::string_view bytes);

// The listing of any program, also of one that seccomp(2) refuses. FromAssembly reads it.
CALLGATE_EXPORT std::string Disassemble(std::span<const Instruction> instructions);

struct InstallOptions {
  // Put the filter on every thread of the process (SECCOMP_FILTER_FLAG_TSYNC). Otherwise on the
  // calling thread, its future threads and children.
  bool all_threads = true;
};

// Installs the filter into the calling process; it can never be removed. Sets no_new_privs. The
// next system call is the first one judged. Fails when the kernel lacks filters, or another thread
// has filters that this one has not.
CALLGATE_EXPORT Result<void> Install(const Program& program, InstallOptions options = {});

}  // namespace callgate
