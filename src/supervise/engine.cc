// One notification, from its arrival to its answer:
//
//   registers decide?  ──yes──► answer
//        │ no
//   act as the target (borrow.h), copy and pin everything the call is about (Performer::Prepare)
//   does the notification still wait?  ──no──► the id may be another's by now: forget it all
//   Decide: pure, on the copies
//        │ allow
//   Performer::Perform on what is pinned, here, or in a thread if it may wait
//   answer; a descriptor is put into the target and answered in one step
//
// The kernel is never told to go on with a call that was looked into: it would read the memory
// again. Only `continue_unchecked` says that, and the policy's author wrote it.
//
// One thread decides. Measured before it was built: one loop serves 204–393 thousand notifications
// a second of one target, four threads on one listener 87–143 thousand, because each wake-up
// crosses CPUs. So the loop does what cannot wait, and threads do the rest.
//
// Should the process die: the targets are traced with EXITKILL and die with it, and the kernel
// fails the waiting calls of others with ENOSYS. A new listener the filter itself refuses
// (launch/guard.cc).

#include "supervise/engine.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <utility>

#include "abi/syscalls.h"
#include "base/error.h"
#include "fmt/format.h"
#include "supervise/borrow.h"
#include "supervise/identity.h"
#include "supervise/inputs.h"
#include "supervise/perform.h"
#include "supervise/workers.h"

namespace callgate::supervise {
namespace {

// include/linux/errno.h: for the way out of a system call, never for a program. The kernel makes
// EINTR of it or calls again, as the handler of the signal asks (SA_RESTART).
constexpr int kRestartSystem = 512;  // ERESTARTSYS
constexpr int kLastProgramErrno = 511;

// A performed call that was interrupted for the caller's sake.
int InterruptedErrno(pid_t tid) {
  return PendingSignalOf(tid) == PendingSignal::kOwn ? kRestartSystem : EINTR;
}

struct CallState {
  kernel::Notification notification;
  Identity identity;
  Credentials walking;  // as whom its paths are walked
  Credentials acting;   // as whom it is performed
  std::optional<Inputs> inputs;
  std::unique_ptr<Performer> performer;
};

// With the supervisor's rights, and still so that what is made belongs to the caller: owners are
// the file-system ids of who makes it. (To change the owner afterwards would be a race for the
// name.)
Credentials Lent(const Credentials& own, const Credentials& caller) {
  Credentials lent = own;
  lent.uids[3] = caller.uids[3];
  lent.gids[3] = caller.gids[3];
  lent.groups = caller.groups;
  return lent;
}

}  // namespace

struct Engine::Impl {
  explicit Impl(kernel::Kernel& seam) : kernel(seam), workers(seam) {}

  Outcome Answer(int listener, const kernel::Notification& notification,
                 policy::PolicyAction action, std::string reason);
  Outcome Look(int listener, const kernel::Notification& notification,
               const DecideFunction& decide);
  Outcome Perform(int listener, std::unique_ptr<CallState> state);
  void Deliver(int listener, const kernel::Notification& notification, Reply reply);
  // Once in the process that supervises, after any fork.
  bool Begin();

  kernel::Kernel& kernel;
  std::optional<Identity> own;
  Workers workers;
};

bool Engine::Impl::Begin() {
  if (own) return true;
  own = ReadIdentity(gettid());
  // The program's limit is its own affair; ours is what calls in flight need.
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
  // The umask and the working directory of this thread become its own.
  return own && unshare(CLONE_FS) == 0;
}

namespace {

Outcome Refuse(int errno_value, std::string reason) {
  return {.kind = Outcome::Kind::kRefused, .errno_value = errno_value, .reason = std::move(reason)};
}

}  // namespace

Outcome Engine::Impl::Answer(int listener, const kernel::Notification& notification,
                             policy::PolicyAction action, std::string reason) {
  switch (action.verb) {
    case policy::Verb::kErrno:
      return Refuse(static_cast<int>(action.data), std::move(reason));
    case policy::Verb::kKillProcess:
      return {.kind = Outcome::Kind::kKilled, .errno_value = EPERM, .reason = std::move(reason)};
    case policy::Verb::kReturn:
      (void)kernel.ReplyValue(listener, notification.id, action.data);
      return {};
    case policy::Verb::kContinueUnchecked:
      (void)kernel.ReplyContinueUnchecked(listener, notification.id);
      return {};
    case policy::Verb::kAllow:
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

void Engine::Impl::Deliver(int listener, const kernel::Notification& notification, Reply reply) {
  // A failed reply owes nothing: the target is gone, or the call was answered.
  if (reply.errno_value != 0) {
    (void)kernel.ReplyErrno(listener, notification.id, reply.errno_value);
    return;
  }
  if (!reply.descriptor.valid()) {
    (void)kernel.ReplyValue(listener, notification.id, reply.value);
    return;
  }
  auto given = kernel.ReplyDescriptor(listener, notification.id, reply.descriptor.get(),
                                      reply.descriptor_flags);
  if (given || given.error() == ENOENT) return;
  // EMFILE and the like leave the call waiting. Some kernels report a signal here after the
  // descriptor was delivered: then this reply finds nobody, and that is right.
  int error = given.error() > kLastProgramErrno ? EINTR : given.error();
  (void)kernel.ReplyErrno(listener, notification.id, error);
}

Outcome Engine::Impl::Perform(int listener, std::unique_ptr<CallState> state) {
  auto perform = [this, listener](CallState& call) {
    Reply reply;
    {
      BorrowedIdentity as_target(own->credentials, call.acting);
      reply = as_target.error() != 0
                  ? Reply::Error(EPERM)
                  : call.performer->Perform(
                        *call.inputs,
                        {.identity = call.identity,
                         .same_pid_namespace = call.identity.pid_namespace == own->pid_namespace,
                         .is_borrowed = call.acting != own->credentials});
    }
    if (!reply.output.empty() && !call.inputs->Write(reply.output_slot, reply.output)) {
      reply = Reply::Error(EFAULT);
    }
    if (reply.errno_value == EINTR) reply.errno_value = InterruptedErrno(call.notification.tid);
    Deliver(listener, call.notification, std::move(reply));
  };
  if (!state->performer->MayBlock()) {
    perform(*state);
    return {};
  }
  Workers::Job job{
      .listener = listener, .id = state->notification.id, .tid = state->notification.tid};
  auto shared = std::shared_ptr<CallState>(std::move(state));
  bool started = workers.Start(job, [shared, perform] {
    // A thread of its own has a umask of its own.
    if (unshare(CLONE_FS) < 0) shared->acting.user_namespace = 0;  // cannot be acted as: refused
    perform(*shared);
  });
  if (started) return {};
  return Refuse(EAGAIN, fmt::format("{} calls of the target are waiting already", kMaxInFlight));
}

Outcome Engine::Impl::Look(int listener, const kernel::Notification& notification,
                           const DecideFunction& decide) {
  if (!Begin())
    return Refuse(EPERM, "the supervisor cannot read its own identity: is /proc there?");
  if (notification.tid == 0) {
    return Refuse(EPERM, "the caller is in a pid namespace that the supervisor cannot see");
  }
  auto state = std::make_unique<CallState>(CallState{notification, {}, {}, {}, {}, {}});
  auto identity = ReadIdentity(notification.tid);
  if (!kernel.IsPending(listener, notification.id)) return {};
  if (!identity) return Refuse(EPERM, "the supervisor cannot read who the caller is");
  state->identity = std::move(*identity);
  auto arch = abi::ArchOfCall(notification.call.arch, notification.call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, notification.call.nr) : nullptr;
  if (syscall != nullptr) state->performer = PerformerOf(syscall->name);

  // A caller in another user namespace has its ids here too, but none of its capabilities: enough
  // to see what it may reach, not to act as it.
  bool same_namespace =
      state->identity.credentials.user_namespace == own->credentials.user_namespace;
  Credentials walking = state->identity.credentials;
  if (!same_namespace) {
    walking.user_namespace = own->credentials.user_namespace;
    walking.effective_capabilities = 0;
  }
  state->walking = std::move(walking);
  state->inputs.emplace(kernel, state->notification, own->credentials, state->walking);
  int failed = 0;
  if (state->performer != nullptr) {
    failed = state->performer->Prepare(
        *state->inputs, {.identity = state->identity,
                         .same_pid_namespace = state->identity.pid_namespace == own->pid_namespace,
                         .is_borrowed = state->walking != own->credentials});
  }
  policy::PolicyAction action;
  if (failed == 0) {
    action = decide(notification.call, [&](const policy::DeepSubject& subject) {
      return state->inputs->Look(subject);
    });
    auto more = state->performer != nullptr ? state->performer->GivesAsMuchAs(notification.call)
                                            : std::nullopt;
    if (more && action.verb == policy::Verb::kAllow) {
      auto look = [&](const policy::DeepSubject& subject) { return state->inputs->Look(subject); };
      if (decide(*more, look).verb != policy::Verb::kAllow) action = {policy::Verb::kErrno, EACCES};
    }
    failed = state->inputs->error();
  }
  // All copies were made by a thread id: it named the caller only if the caller still waits.
  if (!kernel.IsPending(listener, notification.id)) return {};
  switch (failed) {
    case 0:
      break;
    case ESRCH:
      return Refuse(EPERM,
                    "the supervisor has not the rights to look at the caller, or to act as it");
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Refuse(failed, "the supervisor has run out of descriptors or memory");
    default:
      // The call's own mistake, which the kernel would have answered the same way.
      (void)kernel.ReplyErrno(listener, notification.id, failed);
      return {};
  }
  bool lends = action.verb == policy::Verb::kAsSupervisor;
  if ((action.verb == policy::Verb::kAllow || lends) && state->performer != nullptr) {
    if (!lends && !same_namespace) {
      return Refuse(EPERM,
                    "the caller is in another user namespace; the supervisor cannot act as it");
    }
    state->acting =
        lends ? Lent(own->credentials, state->identity.credentials) : state->identity.credentials;
    return Perform(listener, std::move(state));
  }
  return Answer(listener, notification, action, {});
}

Outcome Engine::Handle(int listener, const kernel::Notification& notification,
                       const DecideFunction& decide) {
  policy::PolicyAction action = decide(notification.call, nullptr);
  if (action.verb == policy::Verb::kLook || action.verb == policy::Verb::kAsSupervisor) {
    return impl_->Look(listener, notification, decide);
  }
  return impl_->Answer(listener, notification, action, {});
}

Engine::Engine(kernel::Kernel& kernel) : impl_(std::make_unique<Impl>(kernel)) {}
Engine::~Engine() = default;

}  // namespace callgate::supervise
