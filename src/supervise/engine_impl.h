#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "supervise/engine.h"
#include "supervise/facts.h"
#include "supervise/helper.h"
#include "supervise/identities.h"
#include "supervise/identity.h"
#include "supervise/inputs.h"
#include "supervise/moves.h"
#include "supervise/perform.h"
#include "supervise/starts.h"

namespace callgate::supervise {

// What engine.cc, which answers, and look.cc, which looks, decides and performs, share.

inline const Outcome kGoneCaller{.kind = Outcome::Kind::kGone};

inline Outcome Refuse(int errno_value, std::string reason) {
  return {.kind = Outcome::Kind::kRefused, .errno_value = errno_value, .reason = std::move(reason)};
}

// An answer finds the caller that waits, or nobody, in one step.
inline Outcome Replied(const kernel::SysResult<void>& reply, int errno_value = 0) {
  return reply ? Outcome{.errno_value = errno_value} : kGoneCaller;
}

struct CallState {
  const kernel::Notification& notification;
  std::unique_ptr<Performer> performer;
  Identity identity = {};
  std::optional<Inputs> inputs = {};
  std::vector<Facts> agreed = {};  // what somebody outside was told before he answered
};

struct Engine::Impl {
  Impl(kernel::Kernel& seam, Fixed fixed)
      : kernel(seam), names_are_fixed(fixed.names), identities(seam, fixed), helpers(seam) {}

  Outcome Answer(const Turn& turn, policy::PolicyAction action, std::string reason);
  // The call's own mistake, which the kernel would have answered the same way.
  Outcome AnswerMistake(const Turn& turn, int errno_value);
  // Who may perform it: we alone, or a helper where the caller stands.
  enum class By : std::uint8_t { kEither, kUs };
  struct Way {
    By by = By::kEither;
    bool may_presume = true;
  };
  Outcome Look(const Turn& turn, const DecideFunction& decide, const OutsideFunction& outside,
               std::unique_ptr<Performer> performer, Way way);
  // The same of a call that nobody performs.
  Outcome LookAndAnswer(const Turn& turn, const DecideFunction& decide);
  // Why nothing can be looked at.
  std::optional<Outcome> Blind(const kernel::Notification& notification);
  // nullopt: what was presumed does not hold.
  std::optional<Outcome> Perform(const Turn& turn, CallState& call, const Credentials& acting);
  Outcome LetCallerMakeIt(const Turn& turn, CallState& call);
  Outcome Deliver(int listener, const kernel::Notification& notification, Reply reply);
  // Of the supervisor. nullptr: cannot be read.
  const Identity* Own();
  // The caller attends to its signal, and makes the call again if that says so.
  Outcome Interrupt(const Turn& turn);
  Outcome AskAboutRegisters(const Turn& turn, policy::PolicyAction action,
                            const OutsideFunction& outside);

  kernel::Kernel& kernel;
  const bool names_are_fixed;
  Identities identities;
  Helpers helpers;
  std::once_flag begun;
  Starts starts;
  Moves moves;
  const Identity* own = nullptr;
};

}  // namespace callgate::supervise
