// What only a look behind the registers decides, and performing what it lets through (engine.cc
// shows the way of a call).

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "fmt/format.h"
#include "supervise/borrow.h"
#include "supervise/engine_impl.h"
#include "supervise/pending_signal.h"
#include "supervise/refusal.h"

namespace callgate::supervise {

std::optional<Outcome> Engine::Impl::Blind(const kernel::Notification& notification) {
  if (Own() == nullptr || !HasOwnPlaces()) {
    return Refuse(EPERM, "the supervisor cannot read its own identity: is /proc there?");
  }
  if (notification.tid == 0) {
    return Refuse(EPERM, "the caller is in a pid namespace that the supervisor cannot see");
  }
  return std::nullopt;
}

Outcome Engine::Impl::LookAndAnswer(const Turn& turn, const DecideFunction& decide) {
  const kernel::Notification& notification = turn.notification;
  if (auto blind = Blind(notification)) return std::move(*blind);
  // No path is walked, and who the caller is was not read.
  Inputs inputs(kernel, notification, own->credentials, own->credentials, !names_are_fixed);
  policy::PolicyAction action = decide(
      notification.call, [&](const policy::DeepSubject& subject) { return inputs.Look(subject); });
  const int failed = inputs.error();
  const auto refusal = RefusalOf(failed);
  if (failed != 0 && !refusal) return AnswerMistake(turn, failed);
  if (failed == 0 && action.verb == policy::Verb::kReturn) return Answer(turn, action, {});
  if (!kernel.IsPending(turn.listener, notification.id)) return kGoneCaller;
  if (refusal) return Refuse(refusal->errno_value, refusal->reason);
  if (IsLeft(action)) return Refuse(EPERM, "the call cannot be performed");
  return Answer(turn, action, {});
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
  // What is done is done, whoever is there to hear of it.
  Outcome unheard = call.performer->OnlyReplies() ? kGoneCaller : Outcome{};
  // A call can have waited for long: the thread id may be another's by now.
  if (!reply.outputs.empty() && !kernel.IsPending(turn.listener, call.notification.id)) {
    return unheard;
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
  unheard.errno_value = reply.errno_value;
  Outcome outcome = Deliver(turn.listener, call.notification, std::move(reply));
  return outcome.kind == Outcome::Kind::kGone ? unheard : outcome;
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

Outcome Engine::Impl::Look(const Turn& turn, const DecideFunction& decide,
                           const OutsideFunction& outside, std::unique_ptr<Performer> performer,
                           Way way) {
  const int listener = turn.listener;
  const kernel::Notification& notification = turn.notification;
  if (auto blind = Blind(notification)) return std::move(*blind);
  CallState state{.notification = notification, .performer = std::move(performer)};
  auto identity = identities.Of(notification.tid);
  if (!identity) {
    if (!kernel.IsPending(listener, notification.id)) return kGoneCaller;
    return Refuse(EPERM, "the supervisor cannot read who the caller is");
  }
  state.identity = std::move(*identity);

  // A caller in another user namespace has its ids here too, but none of its capabilities: enough
  // to see what it may reach, not to act as it.
  bool same_namespace =
      state.identity.credentials.user_namespace == own->credentials.user_namespace;
  // In its own it can mount and chroot, and give any file any name.
  state.identity.must_have_our_root = !same_namespace && !names_are_fixed;
  bool is_elsewhere = false;
  if (way.by == By::kEither && state.performer->MadeBy() == Maker::kSupervisor &&
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
      .may_presume = way.may_presume && (same_namespace || is_elsewhere)};
  auto look_again = [&] {
    state.performer.reset();
    return Look(turn, decide, outside, PerformerOf(notification.call),
                {.by = way.by, .may_presume = false});
  };
  int failed = state.performer->Prepare(*state.inputs, surroundings);
  policy::PolicyAction action;
  std::string reason;
  bool is_interrupted = false;
  if (failed == 0) {
    auto look = [&](const policy::DeepSubject& subject) { return state.inputs->Look(subject); };
    auto more = state.performer->GivesAsMuchAs(notification.call);
    // Decided by the policy, or by whom it names.
    auto settle = [&](policy::PolicyAction said, const abi::Call& call,
                      const policy::LookFunction& seen) {
      if (!IsLeft(said)) return said;
      Facts facts = FactsOf(call, seen);
      auto waits = [&] { return kernel.IsPending(listener, notification.id); };
      // The copies are this caller's only if it still waits: nobody is told another's.
      if (state.inputs->error() != 0 || !waits()) return policy::PolicyAction{policy::Verb::kErrno};
      AnswerFromOutside answer = AskOutside(outside, turn,
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
    const bool is_allowed = action.verb == policy::Verb::kAllow && state.inputs->error() == 0;
    if (state.performer->Presumes() && !is_allowed) return look_again();
    if (more && (action.verb == policy::Verb::kAllow || IsLeft(action))) {
      policy::PolicyAction greater = decide(*more, look);
      if (IsLeft(greater)) {
        action = greater;
      } else if (greater.verb != policy::Verb::kAllow) {
        action = {policy::Verb::kErrno, EACCES};
      }
    }
    action = settle(action, more.value_or(notification.call), look);
    if (action.verb == policy::Verb::kAllow) {
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
  const bool performs = !is_interrupted && (action.verb == policy::Verb::kAllow || lends);
  const auto refusal = RefusalOf(failed);
  // All copies were made by a thread id: it named the caller only if the caller still waits. Where
  // nothing happens but the answer, that itself finds out.
  const bool is_own_mistake = failed != 0 && !refusal;
  const bool is_about_nothing = failed == 0 && action.verb == policy::Verb::kErrno &&
                                state.performer->IsAboutNothing(*state.inputs);
  const bool only_replies =
      !is_interrupted && (is_own_mistake || is_about_nothing ||
                          (failed == 0 && action.verb == policy::Verb::kReturn) ||
                          (failed == 0 && performs && state.performer->OnlyReplies()));
  if (!only_replies && !kernel.IsPending(listener, notification.id)) return kGoneCaller;
  if (is_interrupted) return Interrupt(turn);
  if (refusal) return Refuse(refusal->errno_value, refusal->reason);
  if (is_own_mistake) return AnswerMistake(turn, failed);
  if (is_about_nothing) {
    return Replied(kernel.ReplyErrno(listener, notification.id, static_cast<int>(action.data)));
  }
  // A helper has not our rights. All is looked at and decided anew.
  if (lends && is_elsewhere) {
    state.performer.reset();
    return Look(turn, decide, outside, PerformerOf(notification.call),
                {.by = By::kUs, .may_presume = false});
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

}  // namespace callgate::supervise
