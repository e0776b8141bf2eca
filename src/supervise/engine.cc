// One notification, from its arrival to its answer:
//
//   registers decide?  ──yes──► answer
//        │ no
//   act as the target (borrow.h), copy and pin everything the call is about (Performer::Prepare)
//   does the notification still wait?  ──no──► the id may be another's by now: forget it all
//   Decide: pure, on the copies; where the policy says so, somebody outside, who is told the copies
//        │ allow
//   Performer::Perform on what is pinned; if it may wait, others go on meanwhile
//   answer; a descriptor is put into the target before
//
// The kernel is never told to go on with a call that was looked into: it would read the memory
// again. Two exceptions: `continue_unchecked`, which the policy's author wrote, and what only the
// caller can make, whose result is judged once more before it acts (perform_exec.cc,
// perform_move.cc).
//
// Everything here may take long, and may run in several threads at once: deciders.cc sees to it
// that others go on meanwhile, and that the caller is refused in the end.
//
// Should the process die: the targets are traced with EXITKILL and die with it, and the kernel
// fails the waiting calls of others with ENOSYS. A new listener the filter itself refuses
// (launch/guard.cc).

#include "supervise/engine.h"

#include <algorithm>
#include <cerrno>
#include <mutex>
#include <optional>
#include <utility>

#include "base/error.h"
#include "fmt/format.h"
#include "supervise/borrow.h"
#include "supervise/helper.h"
#include "supervise/identities.h"
#include "supervise/identity.h"
#include "supervise/inputs.h"
#include "supervise/moves.h"
#include "supervise/own_limits.h"
#include "supervise/pending_signal.h"
#include "supervise/perform.h"
#include "supervise/refusal.h"
#include "supervise/starts.h"

namespace callgate::supervise {
namespace {

struct CallState {
  const kernel::Notification& notification;
  Identity identity = {};
  std::unique_ptr<Performer> performer = {};
  std::optional<Inputs> inputs = {};
  std::vector<Facts> agreed = {};  // what somebody outside was told before he answered
};

}  // namespace

struct Engine::Impl {
  Impl(kernel::Kernel& seam, Fixed fixed)
      : kernel(seam), names_are_fixed(fixed.names), identities(seam, fixed), helpers(seam) {}

  Outcome Answer(const Turn& turn, policy::PolicyAction action, std::string reason);
  // Who may perform it: we alone, or a helper where the caller stands.
  enum class By : std::uint8_t { kEither, kUs };
  struct Way {
    By by = By::kEither;
    bool may_presume = true;
  };
  Outcome Look(const Turn& turn, const DecideFunction& decide, const OutsideFunction& outside,
               Way way);
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

const Identity* Engine::Impl::Own() {
  std::call_once(begun, [this] {
    own = identities.Own();
    RaiseOwnLimits();
  });
  return own;
}

namespace {

const Outcome kGoneCaller{.kind = Outcome::Kind::kGone};

Outcome Refuse(int errno_value, std::string reason) {
  return {.kind = Outcome::Kind::kRefused, .errno_value = errno_value, .reason = std::move(reason)};
}

}  // namespace

Outcome Engine::Impl::Answer(const Turn& turn, policy::PolicyAction action, std::string reason) {
  switch (action.verb) {
    case policy::Verb::kErrno:
      return Refuse(static_cast<int>(action.data), std::move(reason));
    case policy::Verb::kKillProcess:
      return {.kind = Outcome::Kind::kKilled, .errno_value = EPERM, .reason = std::move(reason)};
    case policy::Verb::kReturn:
      (void)kernel.ReplyValue(turn.listener, turn.notification.id, action.data);
      return {};
    case policy::Verb::kContinueUnchecked:
      identities.Tell(ChangeBy(turn.notification.call));
      starts.GoOn(kernel, turn, Starts::Then::kNothing);
      return {};
    case policy::Verb::kAllow:
      if (!StartsProgram(turn.notification.call)) break;
      starts.GoOn(kernel, turn, Starts::Then::kNothing);
      return {};
    case policy::Verb::kAsSupervisor:
    case policy::Verb::kKillThread:
    case policy::Verb::kTrap:
    case policy::Verb::kTrace:
    case policy::Verb::kLog:
    case policy::Verb::kNotify:
    case policy::Verb::kAsk:
    case policy::Verb::kLook:
      break;
  }
  // The filter does not ask about what it can do itself, and the policy's check lets no other
  // action follow a look.
  return Refuse(EPERM,
                "the filter asked about a call that it should have decided: refused to be "
                "safe");
}

Outcome Engine::Impl::Deliver(int listener, const kernel::Notification& notification, Reply reply) {
  // A failed reply owes nothing: the target is gone, or the call was answered.
  if (reply.errno_value != 0) {
    (void)kernel.ReplyErrno(listener, notification.id, reply.errno_value);
    return {.errno_value = reply.errno_value};
  }
  if (!reply.descriptor.valid()) {
    (void)kernel.ReplyValue(listener, notification.id, reply.value);
    return {};
  }
  auto given = kernel.ReplyDescriptor(listener, notification.id, std::move(reply.descriptor),
                                      reply.descriptor_flags);
  if (given) return {};
  if (given.error() == ENOENT) return kGoneCaller;
  // EMFILE and the like leave the call waiting.
  (void)kernel.ReplyErrno(listener, notification.id, given.error());
  return {.errno_value = given.error()};
}

std::optional<Outcome> Engine::Impl::Perform(const Turn& turn, CallState& call,
                                             const Credentials& acting) {
  if (call.performer->MayBlock() && !turn.step_aside()) {
    return Refuse(EAGAIN, fmt::format("{} calls of the program are waiting already", kMaxInFlight));
  }
  Reply reply;
  {
    BorrowedIdentity as_target(own->credentials, acting);
    reply = as_target.error() != 0
                ? Reply::Error(EPERM)
                : call.performer->Perform(
                      *call.inputs,
                      {.identity = call.identity,
                       .same_pid_namespace = call.identity.pid_namespace == own->pid_namespace,
                       .is_borrowed = acting != own->credentials,
                       .may_wait = turn.step_aside});
  }
  if (reply.looks_again) return std::nullopt;
  // A call can have waited for long: the thread id may be another's by now.
  if (!reply.outputs.empty() && !kernel.IsPending(turn.listener, call.notification.id)) {
    return kGoneCaller;
  }
  bool told = std::ranges::all_of(reply.outputs, [&](const Reply::Output& output) {
    return call.inputs->Write(output.address, output.bytes).has_value();
  });
  if (!told) reply = Reply::Error(EFAULT);
  // A caller that lives waits for the answer before it attends to the signal.
  if (reply.signal != 0 && kernel.IsPending(turn.listener, call.notification.id)) {
    (void)kernel.SendSignal(call.identity.tgid, call.notification.tid, reply.signal);
  }
  if (reply.errno_value == EINTR) reply.errno_value = InterruptedErrno(call.notification.tid);
  // What the caller closes, unmounts or binds again next must not be in use here.
  call.performer.reset();
  call.inputs.reset();
  return Deliver(turn.listener, call.notification, std::move(reply));
}

Outcome Engine::Impl::LetCallerMakeIt(const Turn& turn, CallState& call) {
  if (call.identity.tracer != own->tgid) {
    return Refuse(
        EPERM,
        "the caller is not traced (CLONE_UNTRACED?), so what comes of it could not be judged");
  }
  identities.Tell(ChangeBy(call.notification.call));
  if (call.performer->MadeBy() == Maker::kUntilReturned) {
    auto refused = moves.GoOn(kernel, turn, call.identity, std::move(call.agreed));
    return refused ? Refuse(EPERM, std::move(*refused)) : Outcome{};
  }
  starts.GoOn(kernel, turn, Starts::Then::kJudge, call.identity, std::move(call.agreed));
  return {};
}

Outcome Engine::Impl::Interrupt(const Turn& turn) {
  const kernel::Notification& notification = turn.notification;
  (void)kernel.ReplyErrno(turn.listener, notification.id, InterruptedErrno(notification.tid));
  return {.errno_value = EINTR};
}

// Registers decide that somebody is asked, and all he is told is registers, which nobody can
// change: the caller goes on with the call itself, as after a filter's "allow".
Outcome Engine::Impl::AskAboutRegisters(const Turn& turn, policy::PolicyAction action,
                                        const OutsideFunction& outside) {
  const kernel::Notification& notification = turn.notification;
  const Credentials nobody;
  const Inputs nothing(kernel, notification, nobody, nobody);
  auto waits = [&] { return kernel.IsPending(turn.listener, notification.id); };
  AnswerFromOutside answer = AskOutside(outside, turn,
                                        {.notification = notification,
                                         .call = notification.call,
                                         .action = action,
                                         .facts = {},
                                         .inputs = nothing,
                                         .look = nullptr,
                                         .still_waits = waits});
  if (!waits()) return kGoneCaller;
  if (answer.is_interrupted) return Interrupt(turn);
  if (answer.action.verb == policy::Verb::kAllow) {
    answer.action.verb = policy::Verb::kContinueUnchecked;
  }
  return Answer(turn, answer.action, std::move(answer.reason));
}

Outcome Engine::Impl::Look(const Turn& turn, const DecideFunction& decide,
                           const OutsideFunction& outside, Way way) {
  const int listener = turn.listener;
  const kernel::Notification& notification = turn.notification;
  if (Own() == nullptr || !HasOwnPlaces()) {
    return Refuse(EPERM, "the supervisor cannot read its own identity: is /proc there?");
  }
  if (notification.tid == 0) {
    return Refuse(EPERM, "the caller is in a pid namespace that the supervisor cannot see");
  }
  CallState state{.notification = notification};
  state.performer = PerformerOf(notification.call);
  if (state.performer != nullptr) {
    auto identity = identities.Of(notification.tid);
    if (!identity) {
      if (!kernel.IsPending(listener, notification.id)) return kGoneCaller;
      return Refuse(EPERM, "the supervisor cannot read who the caller is");
    }
    state.identity = std::move(*identity);
  }

  // A caller in another user namespace has its ids here too, but none of its capabilities: enough
  // to see what it may reach, not to act as it.
  bool same_namespace =
      state.identity.credentials.user_namespace == own->credentials.user_namespace;
  // In its own it can mount and chroot, and give any file any name.
  state.identity.must_have_our_root = !same_namespace && !names_are_fixed;
  bool is_elsewhere = false;
  if (state.performer != nullptr && way.by == By::kEither &&
      state.performer->MadeBy() == Maker::kSupervisor &&
      (!same_namespace || state.performer->ScopeOf() != Scope::kUser)) {
    auto helped =
        helpers.PerformerFor(notification, state.identity, *own, state.performer->ScopeOf());
    if (!kernel.IsPending(listener, notification.id)) return kGoneCaller;
    if (!helped) return Refuse(EPERM, helped.error());
    state.performer = std::move(*helped);
    is_elsewhere = true;
  }
  std::optional<Credentials> powerless;
  if (!same_namespace) {
    powerless = state.identity.credentials;
    powerless->user_namespace = own->credentials.user_namespace;
    powerless->effective_capabilities = 0;
  }
  const Credentials& walking = powerless ? *powerless : state.identity.credentials;
  state.inputs.emplace(kernel, notification, own->credentials, walking,
                       state.identity.must_have_our_root);
  const Surroundings surroundings{
      .identity = state.identity,
      .same_pid_namespace = state.identity.pid_namespace == own->pid_namespace,
      .is_borrowed = walking != own->credentials,
      .may_presume = way.may_presume && same_namespace};
  auto look_again = [&] {
    state.performer.reset();
    return Look(turn, decide, outside, {.by = way.by, .may_presume = false});
  };
  int failed = 0;
  if (state.performer != nullptr) failed = state.performer->Prepare(*state.inputs, surroundings);
  policy::PolicyAction action;
  std::string reason;
  bool is_interrupted = false;
  if (failed == 0) {
    auto look = [&](const policy::DeepSubject& subject) { return state.inputs->Look(subject); };
    auto more = state.performer != nullptr ? state.performer->GivesAsMuchAs(notification.call)
                                           : std::nullopt;
    // Decided by the policy, or by whom it names.
    auto settle = [&](policy::PolicyAction said, const abi::Call& call,
                      const policy::LookFunction& seen) {
      if (!IsLeft(said)) return said;
      Facts facts = FactsOf(call, seen);
      auto waits = [&] { return kernel.IsPending(listener, notification.id); };
      // The copies are this caller's only if it still waits: nobody is told another's.
      if (state.inputs->error() != 0 || !waits()) return policy::PolicyAction{policy::Verb::kErrno};
      AnswerFromOutside answer =
          state.performer == nullptr
              ? AnswerFromOutside{{policy::Verb::kErrno, EPERM}, "the call cannot be performed"}
              : AskOutside(outside, turn,
                           {.notification = notification,
                            .call = call,
                            .action = said,
                            .facts = facts,
                            .inputs = *state.inputs,
                            .look = seen,
                            .still_waits = waits});
      reason = std::move(answer.reason);
      is_interrupted = is_interrupted || answer.is_interrupted;
      state.agreed.push_back(std::move(facts));
      return answer.action;
    };
    action = decide(notification.call, look);
    if (state.performer != nullptr && state.performer->Presumes() &&
        action.verb != policy::Verb::kAllow) {
      return look_again();
    }
    if (more && (action.verb == policy::Verb::kAllow || IsLeft(action))) {
      policy::PolicyAction greater = decide(*more, look);
      if (IsLeft(greater)) {
        action = greater;
      } else if (greater.verb != policy::Verb::kAllow) {
        action = {policy::Verb::kErrno, EACCES};
      }
    }
    action = settle(action, more.value_or(notification.call), look);
    if (action.verb == policy::Verb::kAllow && state.performer != nullptr) {
      for (const Further& further : state.performer->AmountsTo(*state.inputs, surroundings)) {
        policy::PolicyAction other =
            settle(decide(notification.call, further.look), notification.call, further.look);
        if (IsLet(other)) continue;
        action = other;
        if (reason.empty()) reason = further.reason;
        break;
      }
    }
    failed = state.inputs->error();
  }
  const bool lends = action.verb == policy::Verb::kAsSupervisor;
  const bool performs = !is_interrupted && state.performer != nullptr &&
                        (action.verb == policy::Verb::kAllow || lends);
  // All copies were made by a thread id: it named the caller only if the caller still waits. (Where
  // nothing happens but the answer, the kernel itself looks for the caller.)
  const bool only_replies = failed == 0 && performs && state.performer->OnlyReplies();
  if (!only_replies && !kernel.IsPending(listener, notification.id)) return kGoneCaller;
  if (is_interrupted) return Interrupt(turn);
  if (auto refusal = RefusalOf(failed)) return Refuse(refusal->errno_value, refusal->reason);
  if (failed != 0) {
    // The call's own mistake, which the kernel would have answered the same way.
    (void)kernel.ReplyErrno(listener, notification.id, failed);
    return {.errno_value = failed};
  }
  if (action.verb == policy::Verb::kErrno && state.performer != nullptr &&
      state.performer->IsAboutNothing(*state.inputs)) {
    (void)kernel.ReplyErrno(listener, notification.id, static_cast<int>(action.data));
    return {};
  }
  // A helper has not our rights. All is looked at and decided anew.
  if (lends && is_elsewhere) {
    state.performer.reset();
    return Look(turn, decide, outside, {.by = By::kUs, .may_presume = false});
  }
  if (performs) {
    const bool caller_makes_it = state.performer->MadeBy() != Maker::kSupervisor;
    if (!lends && !same_namespace && !is_elsewhere && !caller_makes_it) {
      return Refuse(EPERM,
                    "the caller is in another user namespace; the supervisor cannot act as it");
    }
    if (state.performer->NeedsStatus() && state.identity.umask == kUnreadUmask) {
      auto status = ReadStatus(notification.tid);
      if (!kernel.IsPending(listener, notification.id)) return kGoneCaller;
      if (!status) return Refuse(EPERM, "the supervisor cannot read the caller's status");
      state.identity.umask = status->umask;
      state.identity.tracer = status->tracer;
      state.identity.threads = status->threads;
    }
    if (caller_makes_it) return LetCallerMakeIt(turn, state);
    const Credentials* acting = is_elsewhere ? &own->credentials : &state.identity.credentials;
    std::optional<Credentials> lent;
    if (lends) acting = &lent.emplace(Lent(own->credentials, state.identity.credentials));
    auto outcome = Perform(turn, state, *acting);
    return outcome ? std::move(*outcome) : look_again();
  }
  return Answer(turn, action, std::move(reason));
}

Outcome Engine::Handle(const Turn& turn, const DecideFunction& decide,
                       const OutsideFunction& outside) {
  const abi::Call& call = turn.notification.call;
  policy::PolicyAction action = decide(call, nullptr);
  if (IsLeft(action) && PerformerOf(call) == nullptr) {
    return impl_->AskAboutRegisters(turn, action, outside);
  }
  if (IsLeft(action) || action.verb == policy::Verb::kLook ||
      action.verb == policy::Verb::kAsSupervisor) {
    return impl_->Look(turn, decide, outside, {});
  }
  return impl_->Answer(turn, action, {});
}

Outcome Engine::HandleExec(pid_t pid, pid_t former_tid, const DecideFunction& decide) {
  return impl_->starts.Judge(pid, former_tid, decide);
}

Outcome Engine::HandleReturn(pid_t tid, const DecideFunction& decide) {
  return impl_->moves.Judge(impl_->kernel, tid, decide);
}

void Engine::Tell(Change change) { impl_->identities.Tell(change); }

void Engine::EndHelpers() { impl_->helpers.EndAll(); }

Engine::Engine(kernel::Kernel& kernel, Fixed fixed)
    : impl_(std::make_unique<Impl>(kernel, fixed)) {}
Engine::~Engine() = default;

}  // namespace callgate::supervise
