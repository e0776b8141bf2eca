#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>

namespace callgate::abi {

// What a filter tells the kernel: SECCOMP_RET_* of linux/seccomp.h, seccomp(2). Enumerators carry
// the kernel's values, so that order as *signed* numbers is precedence: the lowest wins over a
// stack (kernel/seccomp.c, seccomp_run_filters).
enum class ActionKind : std::uint32_t {
  kKillProcess = 0x80000000,
  kKillThread = 0x00000000,
  kTrap = 0x00030000,
  kErrno = 0x00050000,
  kUserNotif = 0x7fc00000,
  kTrace = 0x7ff00000,
  kLog = 0x7ffc0000,
  kAllow = 0x7fff0000,
};

struct Action {
  ActionKind kind = ActionKind::kKillProcess;
  std::uint16_t data = 0;  // errno, si_errno of a trap, tracer message

  constexpr std::uint32_t value() const { return static_cast<std::uint32_t>(kind) | data; }
  constexpr bool operator==(const Action&) const = default;

  // Would this one win over `other` on one stack? (Data does not count.)
  constexpr bool Outranks(Action other) const {
    return static_cast<std::int32_t>(kind) < static_cast<std::int32_t>(other.kind);
  }
};

inline constexpr Action kAllow{ActionKind::kAllow, 0};
inline constexpr Action kKillProcess{ActionKind::kKillProcess, 0};

// nullopt for a value whose action bits the kernel does not know: it kills the process for those.
std::optional<Action> ActionFromValue(std::uint32_t ret_value);

// As written in a policy: "allow", "kill", "errno(EPERM)", "trap(3)"; error names are those of the
// ABI this program was compiled for. Unknown values: "0x12345678
// (unknown: kills)".
std::string ToString(Action action);
std::string RetValueToString(std::uint32_t ret_value);

}  // namespace callgate::abi
