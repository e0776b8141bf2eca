// Errno verdicts come as notifications. The true verdict is the policy's: `explain` gives it, the
// call gets exactly that errno. Where the policy looks behind registers, `answer` decides and
// performs. A call that the policy does not refuse with an errno should not have come; it is
// refused, with EPERM: fail closed.

#include "launch/answer.h"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <utility>

#include "fmt/format.h"

namespace callgate::launch {
namespace {

using Refusal = supervise::Deciders::Refusal;

constexpr std::uint16_t kMaxErrno = 4095;  // MAX_ERRNO, include/linux/err.h

constexpr abi::Action Errno(int errno_value) {
  return {abi::ActionKind::kErrno, static_cast<std::uint16_t>(errno_value)};
}

using Clock = std::chrono::steady_clock;

std::string ErrnoText(const abi::Call& call, int errno_value) {
  return errno_value == 0 ? "done" : OutcomeText(call, Errno(errno_value));
}

class Answerer {
 public:
  Answerer(kernel::Kernel& kernel, const Supervision& supervision, int listener, Reporter& reporter,
           std::function<void(std::string_view, int)> fail)
      : kernel_(kernel),
        supervision_(supervision),
        listener_(listener),
        reporter_(reporter),
        fail_(std::move(fail)) {}

  void Decide(const supervise::Turn& turn);
  void RefuseUndecided(const kernel::Notification& notification, Refusal why);
  void Fail(std::string_view operation, int errno_value) const { fail_(operation, errno_value); }

 private:
  void Refuse(const kernel::Notification& notification, Explanation& why, bool kills);
  void Audit(const kernel::Notification& notification, const Decision& decision,
             std::string outcome, std::chrono::nanoseconds latency);
  void Report(const kernel::Notification& notification, const Explanation& why);
  void Reply(const kernel::Notification& notification, int errno_value);
  void KillCaller(const kernel::Notification& notification);

  kernel::Kernel& kernel_;
  const Supervision& supervision_;
  const int listener_;
  Reporter& reporter_;
  const std::function<void(std::string_view, int)> fail_;
};

void Answerer::Decide(const supervise::Turn& turn) {
  const kernel::Notification& notification = turn.notification;
  bool audits = supervision_.audit_fd >= 0;
  auto begin = audits ? Clock::now() : Clock::time_point();
  Answered answered;
  if (supervision_.answer) {
    answered = supervision_.answer(turn);
  } else {
    answered.refused = supervision_.explain(notification.call);
    if (audits) {
      answered.decision = Decision{.action = abi::ToString(answered.refused->verdict),
                                   .place = answered.refused->place,
                                   .rule = answered.refused->rule};
    }
  }
  bool is_killed = false;
  if (answered.refused) {
    Explanation& why = *answered.refused;
    is_killed = why.verdict.kind == abi::ActionKind::kKillProcess && supervision_.answer;
    Refuse(notification, why, is_killed);
  }
  if (!answered.decision) return;
  // After the answer: the caller does not wait for the log.
  auto latency = Clock::now() - begin;
  Decision& decision = *answered.decision;
  if (answered.refused) decision.errno_value = answered.refused->verdict.data;
  // The thread id may have been another's by then, and what was copied too.
  if (decision.is_gone) decision.inputs.clear();
  Audit(notification, decision,
        is_killed          ? "killed"
        : decision.is_gone ? "gone"
                           : ErrnoText(notification.call, decision.errno_value),
        latency);
}

void Answerer::Refuse(const kernel::Notification& notification, Explanation& why, bool kills) {
  if (kills) {
    why.kills = true;
    Report(notification, why);
    KillCaller(notification);
    return Reply(notification, EPERM);  // it dies before it sees that
  }
  if (why.verdict.kind != abi::ActionKind::kErrno) {
    why.reason = "the filter asked about it, the policy says " + abi::ToString(why.verdict) +
                 ": refused to be safe";
    why.verdict = Errno(EPERM);
  }
  why.verdict.data = std::min(why.verdict.data, kMaxErrno);
  Report(notification, why);
  Reply(notification, why.verdict.data);
}

void Answerer::Audit(const kernel::Notification& notification, const Decision& decision,
                     std::string outcome, std::chrono::nanoseconds latency) {
  reporter_.Decided({.notification = notification,
                     .pid = IdentifyThread(notification.tid).pid,
                     .decision = decision,
                     .outcome = std::move(outcome),
                     .latency = latency});
}

void Answerer::RefuseUndecided(const kernel::Notification& notification, Refusal why) {
  Explanation explanation;
  switch (why) {
    case Refusal::kOverdue:
      explanation.verdict = Errno(ETIMEDOUT);
      explanation.rule = fmt::format("limit of {} s for a decision", supervise::kDeadline.count());
      explanation.reason = "a file, a file system or memory that the call names does not answer";
      break;
    case Refusal::kOverload:
      explanation.verdict = Errno(EAGAIN);
      explanation.rule = fmt::format("limit of {} calls in hand", supervise::kMaxInFlight);
      explanation.reason = "none of them comes to an end";
      break;
  }
  reporter_.Denied(notification.call, notification.tid, explanation, NoTarget(),
                   [] { return true; });
  Reply(notification, explanation.verdict.data);
  if (supervision_.audit_fd < 0) return;
  Decision none{.action = "none", .rule = explanation.rule};
  Audit(notification, none, ErrnoText(notification.call, explanation.verdict.data), {});
}

void Answerer::Report(const kernel::Notification& notification, const Explanation& why) {
  reporter_.Denied(notification.call, notification.tid, why, ProcTarget(kernel_, notification.tid),
                   [&] { return kernel_.IsPending(listener_, notification.id); });
}

void Answerer::Reply(const kernel::Notification& notification, int errno_value) {
  auto replied = kernel_.ReplyErrno(listener_, notification.id, errno_value);
  // ENOENT: killed, or a signal took the call away; EINPROGRESS: answered already. Nothing is owed.
  if (replied || replied.error() == ENOENT || replied.error() == EINPROGRESS) return;
  fail_("answer a notification", replied.error());
}

// A kill that was decided here. Only SIGKILL cannot be caught; it goes to the whole process.
void Answerer::KillCaller(const kernel::Notification& notification) {
  pid_t process = IdentifyThread(notification.tid).pid;
  if (process <= 0 || !kernel_.IsPending(listener_, notification.id)) return;
  (void)kernel_.SendSignal(process, notification.tid, SIGKILL);
}

}  // namespace

supervise::Deciders::Callbacks AnswerAndReport(kernel::Kernel& kernel,
                                               const Supervision& supervision, int listener,
                                               Reporter& reporter,
                                               std::function<void(std::string_view, int)> fail) {
  auto answerer =
      std::make_shared<Answerer>(kernel, supervision, listener, reporter, std::move(fail));
  return {.decide = [answerer](const supervise::Turn& turn) { answerer->Decide(turn); },
          .refuse = [answerer](const kernel::Notification& notification,
                               Refusal why) { answerer->RefuseUndecided(notification, why); },
          .fail = [answerer](std::string_view operation,
                             int errno_value) { answerer->Fail(operation, errno_value); }};
}

}  // namespace callgate::launch
