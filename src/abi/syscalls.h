#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "abi/arch.h"
#include "abi/version.h"

namespace callgate::abi {

// What an argument is. The tables' KIND column; see data/README.md.
enum class ArgKind : std::uint8_t {
  kInteger,  // plain number: int32 … ulong, size, count, off, mode, uid, signo, timerid, …
  kFd,       // descriptor
  kDirFd,    // descriptor or AT_FDCWD
  kFlags,    // or-ed bits of a constant set
  kEnum,     // one value of a constant set (flag bits of a second set may be or-ed in)
  kMode,     // file mode, octal
  kDev,      // device number
  kPid,
  kId,  // uid, gid
  kSignal,
  kAddress,  // a user address that is not read as a structure
  kPath,     // pointers from here on
  kString,
  kStringVector,  // argv, envp
  kSockaddr,
  kStruct,
  kBuffer,
  kPointer,  // any other pointer
  kVariant,  // meaning depends on another argument
  kLowHalf,  // low 32 bits of a 64-bit value passed in two slots
  kHighHalf,
  kUnused,  // alignment hole
};

enum class Direction : std::uint8_t { kNone, kIn, kOut, kInOut };

// One register of a call. All views are into static storage.
struct Argument {
  std::string_view name;  // as in the kernel's prototype: "dfd"
  std::string_view
      aliases;              // other accepted names, '|' between them: "dirfd"; man-page names first
  std::string_view c_type;  // "unsigned int", "const char *"
  ArgKind kind;
  // 16, 32 or 64: the low bits of the register that the kernel looks at on this ABI. It truncates
  // umode_t and old_uid_t to 16 bits, int and descriptors to 32, so a filter that compares more can
  // be walked past with junk above (CVE-2019-7303), and one that compares less is too strict.
  std::uint8_t bits;
  bool is_signed;                // ordering comparisons are signed; flags and modes never are
  std::string_view set;          // constant set of kFlags and kEnum ("open_flags"); empty if none
  std::string_view flags_set;    // kEnum: set whose bits may be or-ed in; empty if none
  std::string_view struct_name;  // kStruct
  std::int8_t length_arg;  // index of the argument with the length or the selector; -1 if none
  Direction direction;     // what the kernel does with the pointee

  // kLowHalf, kHighHalf: the 64-bit value this is half of. Both halves say the same.
  std::string_view pair_name;     // "offset" for offset_lo and offset_hi
  std::string_view pair_aliases;  // as `aliases`
  std::int8_t partner;            // slot of the other half; -1 if not a half
  bool pair_is_signed;

  bool IsNamed(std::string_view wanted) const;      // this register
  bool PairIsNamed(std::string_view wanted) const;  // the joined value
};

// Register layout of a call on one ABI. Size: number of slots used (0..6).
using Signature = std::span<const Argument>;

enum class SyscallStatus : std::uint8_t { kActive, kUnimplemented, kArmPrivate, kNew };

struct Syscall {
  std::string_view name;
  std::int32_t nr;  // as in seccomp_data.nr: bases included
  std::optional<KernelVersion>
      since;  // first kernel with this call on any ABI; nullopt: not recorded
  SyscallStatus status;
};

// All calls of an ABI, sorted by number. A few numbers have two names (alpha: getpid, getxpid); the
// one the kernel's table uses comes first and is what a look-up by number finds.
std::span<const Syscall> SyscallsOf(ArchId arch);
const Syscall* FindSyscall(ArchId arch, std::string_view name);
const Syscall* FindSyscall(ArchId arch, std::int32_t nr);
// Is the name in any ABI's table?
bool IsKnownSyscallName(std::string_view name);
// ABIs that have it, in ArchId order.
std::vector<ArchId> ArchesWith(std::string_view name);
// All names of all ABIs, sorted.
std::span<const std::string_view> AllSyscallNames();

// nullopt: no prototype recorded for this name on this ABI; only arg0…arg5 are available then.
std::optional<Signature> SignatureOf(ArchId arch, std::string_view name);

// What a name means in a signature: one register, or two that are joined.
struct NamedArgument {
  const Argument* argument = nullptr;     // never null; of a pair: the low half
  std::uint8_t slot = 0;                  // register 0..5; of a pair: the low half's
  std::optional<std::uint8_t> high_slot;  // pair: the register with the high half
  std::uint8_t bits = 64;                 // 64 for a pair
  bool is_signed = false;
};
// Prototype names first, then joined pairs, then aliases; no name is ambiguous. Alignment holes
// have no name. nullopt: no such argument.
std::optional<NamedArgument> FindArgument(Signature signature, std::string_view name);

}  // namespace callgate::abi
