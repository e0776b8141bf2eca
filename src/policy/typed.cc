#include "policy/typed.h"

#include "abi/constants.h"
#include "fmt/format.h"

namespace callgate::policy {

abi::Action KernelAction(PolicyAction action) {
  auto data = static_cast<std::uint16_t>(action.data);
  switch (action.verb) {
    case Verb::kAllow:
      return abi::kAllow;
    case Verb::kErrno:
      return {abi::ActionKind::kErrno, data};
    case Verb::kKillProcess:
      return abi::kKillProcess;
    case Verb::kKillThread:
      return {abi::ActionKind::kKillThread, 0};
    case Verb::kTrap:
      return {abi::ActionKind::kTrap, data};
    case Verb::kTrace:
      return {abi::ActionKind::kTrace, data};
    case Verb::kLog:
      return {abi::ActionKind::kLog, 0};
    case Verb::kNotify:
    case Verb::kReturn:
    case Verb::kAsk:
    case Verb::kContinueUnchecked:
    case Verb::kAsSupervisor:
    case Verb::kLook:
      return {abi::ActionKind::kUserNotif, 0};
  }
  return abi::kKillProcess;
}

namespace {

// Of the actions that the supervisor answers, which are one action to the kernel: the more of them
// stand between the call and its effect, the stricter.
int StrictnessOf(Verb verb) {
  switch (verb) {
    case Verb::kReturn:
      return 3;
    case Verb::kAsk:
      return 2;
    case Verb::kNotify:
      return 1;
    case Verb::kAllow:
    case Verb::kErrno:
    case Verb::kKillProcess:
    case Verb::kKillThread:
    case Verb::kTrap:
    case Verb::kTrace:
    case Verb::kLog:
    case Verb::kContinueUnchecked:
    case Verb::kAsSupervisor:
    case Verb::kLook:
      break;
  }
  return 0;
}

}  // namespace

bool LaterWins(PolicyAction earlier, PolicyAction later) {
  if (earlier.verb == Verb::kLook) return later.verb == Verb::kKillProcess;
  if (later.verb == Verb::kLook) return earlier.verb != Verb::kKillProcess;
  abi::Action before = KernelAction(earlier), after = KernelAction(later);
  if (before == abi::Action{abi::ActionKind::kUserNotif, 0} && before == after) {
    return StrictnessOf(later.verb) > StrictnessOf(earlier.verb);
  }
  return after.Outranks(before);
}

bool LaterWins(const Verdict& earlier, const Verdict& later) {
  auto performed = [](const Verdict& verdict) {
    return verdict.action.verb == Verb::kAllow && verdict.looked;
  };
  auto unguarded = [](const Verdict& verdict) {
    return verdict.action.verb == Verb::kContinueUnchecked ||
           verdict.action.verb == Verb::kAsSupervisor;
  };
  if (performed(earlier) && unguarded(later)) return false;
  if (performed(later) && unguarded(earlier)) return true;
  return LaterWins(earlier.action, later.action);
}

std::string ToString(PolicyAction action, abi::ArchId arch) {
  switch (action.verb) {
    case Verb::kAllow:
      return "allow";
    case Verb::kErrno: {
      auto name = abi::ErrnoName(arch, static_cast<std::uint32_t>(action.data));
      return name ? fmt::format("errno({})", *name) : fmt::format("errno({})", action.data);
    }
    case Verb::kKillProcess:
      return "kill";
    case Verb::kKillThread:
      return "kill_thread";
    case Verb::kTrap:
      return fmt::format("trap({})", action.data);
    case Verb::kTrace:
      return fmt::format("trace({})", action.data);
    case Verb::kLog:
      return "log";
    case Verb::kNotify:
      return "notify";
    case Verb::kReturn:
      return fmt::format("return({})", action.data);
    case Verb::kAsk:
      return "ask";
    case Verb::kContinueUnchecked:
      return "continue_unchecked";
    case Verb::kAsSupervisor:
      return "as_supervisor";
    case Verb::kLook:
      return "look";
  }
  return {};
}

std::uint64_t ValueOf(const Operand& operand, const abi::Call& call) {
  if (operand.field == Operand::Field::kInstructionPointer) return call.ip;
  std::uint64_t value = call.args[operand.slot];
  if (operand.high_slot) {
    value = (value & UINT32_MAX) | call.args[*operand.high_slot] << 32U;
  }
  if (operand.bits >= 64) return value;
  unsigned unused = 64U - operand.bits;
  // Shifting as signed copies the sign bit down.
  if (operand.is_signed) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(value << unused) >> unused);
  }
  return value << unused >> unused;
}

}  // namespace callgate::policy
