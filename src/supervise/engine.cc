// One notification, from its arrival to its answer:
//
//   registers decide?  ──yes──► answer
//        │ no
//   act as the target (borrow.h), copy and pin everything the call is about (Performer::Prepare)
//   does the notification still wait?  ──no──► the id may be another's by now: forget it all
//   (asked of the kernel here, or found out by the answer where nothing happens before it)
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

#include <cerrno>
#include <mutex>
#include <utility>

#include "supervise/engine_impl.h"
#include "supervise/own_limits.h"
#include "supervise/pending_signal.h"

namespace callgate::supervise {

const Identity* Engine::Impl::Own() {
  std::call_once(begun, [this] {
    own = identities.Own();
    RaiseOwnLimits();
  });
  return own;
}

Outcome Engine::Impl::Answer(const Turn& turn, policy::PolicyAction action, std::string reason) {
  switch (action.verb) {
    case policy::Verb::kErrno:
      return Refuse(static_cast<int>(action.data), std::move(reason));
    case policy::Verb::kKillProcess:
      return {.kind = Outcome::Kind::kKilled, .errno_value = EPERM, .reason = std::move(reason)};
    case policy::Verb::kReturn:
      return Replied(kernel.ReplyValue(turn.listener, turn.notification.id, action.data));
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

Outcome Engine::Impl::AnswerMistake(const Turn& turn, int errno_value) {
  return Replied(kernel.ReplyErrno(turn.listener, turn.notification.id, errno_value), errno_value);
}

Outcome Engine::Impl::Deliver(int listener, const kernel::Notification& notification, Reply reply) {
  if (reply.errno_value != 0) {
    return Replied(kernel.ReplyErrno(listener, notification.id, reply.errno_value),
                   reply.errno_value);
  }
  if (!reply.descriptor.valid()) {
    return Replied(kernel.ReplyValue(listener, notification.id, reply.value));
  }
  auto given = kernel.ReplyDescriptor(listener, notification.id, std::move(reply.descriptor),
                                      reply.descriptor_flags);
  if (given) return {};
  if (given.error() == ENOENT) return kGoneCaller;
  // EMFILE and the like leave the call waiting.
  return Replied(kernel.ReplyErrno(listener, notification.id, given.error()), given.error());
}

Outcome Engine::Impl::Interrupt(const Turn& turn) {
  const kernel::Notification& notification = turn.notification;
  return Replied(
      kernel.ReplyErrno(turn.listener, notification.id, InterruptedErrno(notification.tid)), EINTR);
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

Outcome Engine::Handle(const Turn& turn, const DecideFunction& decide,
                       const OutsideFunction& outside) {
  const abi::Call& call = turn.notification.call;
  policy::PolicyAction action = decide(call, nullptr);
  if (!IsLeft(action) && action.verb != policy::Verb::kLook &&
      action.verb != policy::Verb::kAsSupervisor) {
    return impl_->Answer(turn, action, {});
  }
  if (auto performer = PerformerOf(call)) {
    return impl_->Look(turn, decide, outside, std::move(performer), {});
  }
  return IsLeft(action) ? impl_->AskAboutRegisters(turn, action, outside)
                        : impl_->LookAndAnswer(turn, decide);
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
