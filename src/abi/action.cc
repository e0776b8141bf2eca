#include "abi/action.h"

#include "abi/arch.h"
#include "abi/constants.h"
#include "fmt/format.h"

namespace callgate::abi {

std::optional<Action> ActionFromValue(std::uint32_t ret_value) {
  const auto kind = static_cast<ActionKind>(ret_value & 0xffff0000);
  switch (kind) {
    case ActionKind::kKillProcess:
    case ActionKind::kKillThread:
    case ActionKind::kTrap:
    case ActionKind::kErrno:
    case ActionKind::kUserNotif:
    case ActionKind::kTrace:
    case ActionKind::kLog:
    case ActionKind::kAllow:
      return Action{kind, static_cast<std::uint16_t>(ret_value & 0xffff)};
  }
  return std::nullopt;
}

std::string ToString(Action action) {
  switch (action.kind) {
    case ActionKind::kKillProcess:
      return "kill";
    case ActionKind::kKillThread:
      return "kill_thread";
    case ActionKind::kTrap:
      return fmt::format("trap({})", action.data);
    case ActionKind::kErrno:
      if (auto name = ErrnoName(NativeArch(), action.data)) return fmt::format("errno({})", *name);
      return fmt::format("errno({})", action.data);
    case ActionKind::kUserNotif:
      return "notify";
    case ActionKind::kTrace:
      return fmt::format("trace({})", action.data);
    case ActionKind::kLog:
      return "log";
    case ActionKind::kAllow:
      return "allow";
  }
  return RetValueToString(action.value());  // a cast made an enumerator that does not exist
}

std::string RetValueToString(std::uint32_t ret_value) {
  if (auto action = ActionFromValue(ret_value)) return ToString(*action);
  return fmt::format("{:#010x} (unknown: kills)", ret_value);
}

}  // namespace callgate::abi
