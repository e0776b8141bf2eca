// While our listener lives the kernel gives no second one to the program (EBUSY). When it is dead
// the kernel would: the program could then kill its supervisor, add a filter of its own that also
// says USER_NOTIF, and, its filter being the newer one, answer "continue" to its own calls. So the
// filter itself goes on refusing. An answer that is ours alone would not do: it dies with us.
//
// The prefix uses only what the kernel can follow when it computes which calls are always allowed
// (kernel/seccomp.c, seccomp_is_const_allow): loads of nr and arch, AND. LD IMM would end that, so
// the accumulator is cleared by AND 0.

#include "launch/guard.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>

#include <array>
#include <cerrno>
#include <cstddef>

namespace callgate::launch {
namespace {

constexpr std::uint32_t kSeccomp64 = 317;
constexpr std::uint32_t kSeccompX32 = 0x40000000 | kSeccomp64;
constexpr std::uint32_t kSeccomp32 = 354;

constexpr std::uint16_t kLoad = BPF_LD | BPF_W | BPF_ABS;
constexpr std::uint16_t kJumpEqual = BPF_JMP | BPF_JEQ | BPF_K;
constexpr std::uint16_t kJumpSet = BPF_JMP | BPF_JSET | BPF_K;
constexpr std::uint16_t kAnd = BPF_ALU | BPF_AND | BPF_K;
constexpr std::uint16_t kReturn = BPF_RET | BPF_K;

// Low words of the arguments, little-endian.
constexpr std::uint32_t kArgument0 = offsetof(seccomp_data, args);
constexpr std::uint32_t kArgument1 = kArgument0 + 8;

// clang-format off: a listing, with the index of each instruction
constexpr std::array<bpf::Instruction, kGuardInstructions> kGuard = {{
    /*  0 */ {kLoad, 0, 0, offsetof(seccomp_data, arch)},
    /*  1 */ {kJumpEqual, 3, 0, AUDIT_ARCH_X86_64},        // → 5
    /*  2 */ {kJumpEqual, 0, 10, AUDIT_ARCH_I386},         // else → 13
    /*  3 */ {kLoad, 0, 0, offsetof(seccomp_data, nr)},
    /*  4 */ {kJumpEqual, 3, 8, kSeccomp32},               // → 8, else → 13
    /*  5 */ {kLoad, 0, 0, offsetof(seccomp_data, nr)},
    /*  6 */ {kJumpEqual, 1, 0, kSeccomp64},               // → 8
    /*  7 */ {kJumpEqual, 0, 5, kSeccompX32},              // else → 13
    /*  8 */ {kLoad, 0, 0, kArgument0},
    /*  9 */ {kJumpEqual, 0, 3, SECCOMP_SET_MODE_FILTER},  // else → 13
    /* 10 */ {kLoad, 0, 0, kArgument1},
    /* 11 */ {kJumpSet, 0, 1, SECCOMP_FILTER_FLAG_NEW_LISTENER},
    /* 12 */ {kReturn, 0, 0, SECCOMP_RET_ERRNO | EBUSY},
    /* 13 */ {kAnd, 0, 0, 0},
}};
// clang-format on

}  // namespace

bpf::Program WithListenerGuard(bpf::ProgramView program) {
  bpf::Program guarded(kGuard.begin(), kGuard.end());
  guarded.insert(guarded.end(), program.begin(), program.end());
  return guarded;
}

bool MayMakeListener(const ExplainFunction& explain) {
  constexpr std::uint32_t kAllFlags = 64;  // flags 1 … 32 in every combination; others are EINVAL
  struct Entry {
    std::uint32_t arch, nr;
  };
  for (Entry entry : {Entry{AUDIT_ARCH_X86_64, kSeccomp64}, Entry{AUDIT_ARCH_X86_64, kSeccompX32},
                      Entry{AUDIT_ARCH_I386, kSeccomp32}}) {
    for (std::uint32_t flags = 0; flags < kAllFlags; ++flags) {
      if ((flags & SECCOMP_FILTER_FLAG_NEW_LISTENER) == 0) continue;
      abi::Call call{.nr = static_cast<std::int32_t>(entry.nr),
                     .arch = entry.arch,
                     .ip = 0,
                     .args = {SECCOMP_SET_MODE_FILTER, flags, 0, 0, 0, 0}};
      abi::ActionKind kind = explain(call).verdict.kind;
      if (kind == abi::ActionKind::kAllow || kind == abi::ActionKind::kLog ||
          kind == abi::ActionKind::kTrace) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace callgate::launch
