#pragma once

#include <bit>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace callgate::abi {

// One system-call ABI: a number table plus a calling convention. x32 shares its AUDIT_ARCH with
// x86_64 and is told apart by bit 30 of the number. The byte-order twins (armeb, mipsel, …) share
// the tables of their sibling.
enum class ArchId : std::uint8_t {
  kX86_64,
  kI386,
  kX32,
  kAarch64,
  kArm,
  kRiscv64,
  kRiscv32,
  kPpc64le,
  kPpc64,
  kPpc,
  kS390x,
  kS390,
  kMips,
  kMips64,
  kMips64n32,
  kLoongarch64,
  kParisc,
  kParisc64,
  kM68k,
  kSh,
  kSparc,
  kSparc64,
  kAlpha,
  kXtensa,
  kMicroblaze,
  kArc,
  kCsky,
  kOpenrisc,
  kHexagon,
  kNios2,
  kArmeb,
  kMipsel,
  kMipsel64,
  kMipsel64n32,
  kSheb,
};
inline constexpr int kArchCount = 35;

struct Arch {
  std::string_view name;     // "x86_64", as written in policies
  std::uint32_t audit_arch;  // AUDIT_ARCH_* of linux/audit.h, what seccomp_data.arch holds
  std::uint32_t nr_base;     // added to table numbers in seccomp_data.nr (x32, mips)
  std::endian endian;
  ArchId id;
  ArchId tables;  // whose number table, signatures and constants it uses
  // 32 or 64: width of a register as seccomp_data shows it. 64 on x32 and mips64n32: their pointers
  // are short, their registers are not.
  std::uint8_t bits;
  bool has_socketcall;  // multiplexer calls exist
  bool has_ipc;
};

const Arch& ArchOf(ArchId id);
std::span<const Arch> AllArches();
// By callgate's name, or a usual alias: amd64, x86-64, x86, i686, arm64, …
std::optional<ArchId> FindArch(std::string_view name);
// The ABI this program was compiled for.
ArchId NativeArch();
// The ABIs a kernel of this native ABI can run beside it: x86_64 → i386, x32; aarch64 → arm; …
std::span<const ArchId> CompatArches(ArchId native);
// Whose call is this? nullopt: an AUDIT_ARCH no table knows.
std::optional<ArchId> ArchOfCall(std::uint32_t audit_arch, std::int32_t nr);

inline constexpr std::uint32_t kX32Bit = 0x40000000;  // __X32_SYSCALL_BIT, asm/unistd.h
// What x86_64 does not use is x32's, as libseccomp has it: the kernel runs no number beyond 2^31 as
// a call of either. But -1 is what a tracer writes to have a call of any ABI skipped.
inline constexpr std::uint32_t kX32Last = 0xfffffffe;

}  // namespace callgate::abi
