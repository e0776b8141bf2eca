// One thread, one poll loop, three things that can happen: a tracee stops, a call waits for its
// answer on the listener, the output takes more.
//
// Tracing keeps no state per thread. Each stop is answered by what it is alone: a signal is
// delivered as it came, a group stop is listened to (so that job control works as without a
// tracer), new children and threads are let go, and a thread that exits (PTRACE_EVENT_EXIT) is
// looked at. If the filter is what ends it, its registers still hold the refused call; they are
// read, the report is written, and only then does the death go on, so the report stands before the
// shell's prompt. There is nothing to forget when a thread execs, is killed, or takes over its
// leader's id.
//
// Errno verdicts come as notifications. The true verdict is the policy's: `explain` gives it, the
// call gets exactly that errno. Where the policy looks behind registers, `answer` decides and
// performs. A call that the policy does not refuse with an errno should not
// have come; it is refused, with EPERM: fail closed.
//
// Should this process die, EXITKILL takes the traced ones with it and the kernel answers ENOSYS to
// the calls of the others. Nothing gets wider.

#include "launch/watch.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <vector>

#include "launch/attach.h"
#include "launch/child.h"
#include "launch/report.h"

namespace callgate::launch {
namespace {

using kernel::Resume;
using kernel::TraceEvent;

constexpr std::uint16_t kMaxErrno = 4095;  // MAX_ERRNO, include/linux/err.h
// How long the program's last reports may wait for a reader that is slow; after the program ended.
constexpr int kLastWordsMs = 1000;

bool IsStopSignal(int signal) {
  return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN || signal == SIGTTOU;
}

class Watcher {
 public:
  Watcher(kernel::Kernel& kernel, const LaunchPlan& plan, const WatchSetup& setup,
          Reporter& reporter)
      : kernel_(kernel), plan_(plan), setup_(setup), reporter_(reporter), socket_(setup.socket) {}

  void Run();

 private:
  void HandleTracees();
  void HandleStop(pid_t tid, int status);
  void HandleExec();
  void HandleThreadExit(pid_t tid);
  void HandleSigsys(pid_t tid);
  void HandleProgramEnd(int status);
  void HandleSocket();
  void HandleNotification();
  void Refuse(const kernel::Notification& notification, const Explanation& why);
  void KillCaller(const kernel::Notification& notification);
  void ReleaseProgram();
  void GiveUp(std::string_view operation, int errno_value);
  // The call that a stopped thread is in.
  std::optional<abi::Call> CallAt(pid_t tid);
  bool Finished() const { return gave_up_ || (!tracing_ && !listener_.valid()); }

  kernel::Kernel& kernel_;
  const LaunchPlan& plan_;
  WatchSetup setup_;
  Reporter& reporter_;
  int socket_;
  base::UniqueFd listener_;
  bool attached_ = false;
  bool tracing_ = true;  // there are tracees
  bool gave_up_ = false;
};

void Watcher::GiveUp(std::string_view operation, int errno_value) {
  base::Error error = base::ErrnoError(operation, "", errno_value);
  error.advice = "the program is ended";
  reporter_.Failed(error);
  gave_up_ = true;
}

std::optional<abi::Call> Watcher::CallAt(pid_t tid) {
  auto info = kernel_.SyscallInfo(tid);
  auto registers = kernel_.GetRegisters(tid);
  if (!info || !registers || !kernel::LooksRefused(*registers)) return std::nullopt;
  return kernel::CallIn(*registers, info->arch);
}

void Watcher::HandleExec() {
  attached_ = true;
  socket_ = -1;
  std::uint32_t options = 0;
  if (plan_.supervision) {
    // Threads are followed even where children are not: any of them may exec, and then bears the
    // program's id.
    options = kernel::kExitKill | kernel::kTraceExit | kernel::kTraceClone;
    if (plan_.supervision->explain_deaths) options |= kernel::kTraceFork | kernel::kTraceVfork;
  }
  Attachment attachment =
      AttachFilters(kernel_, setup_.program, plan_.stack, options, [&](const base::Error& error) {
        reporter_.Failed(error);
        reporter_.errors().Drain(kLastWordsMs);
      });
  if (attachment.outcome != Attached::kYes) {
    if (attachment.outcome == Attached::kMustBeKilled) {
      (void)kernel_.SendSignal(setup_.program, setup_.program, SIGKILL);
    }
    gave_up_ = true;
    return;
  }
  if (!plan_.supervision) {
    (void)kernel_.Continue(setup_.program, Resume::kDetach, 0);
    tracing_ = false;
    return;
  }
  listener_ = std::move(attachment.listener);
  if (listener_.valid()) (void)kernel_.WakeSynchronously(listener_.get());
  reporter_.Started(setup_.program, plan_.argv);
  (void)kernel_.Continue(setup_.program, Resume::kContinue, 0);
}

// A thread ends. Did the filter end it?
void Watcher::HandleThreadExit(pid_t tid) {
  auto code = kernel_.EventMessage(tid);
  if (code && (*code & 0x7f) == SIGSYS) {
    if (auto call = CallAt(tid)) {
      Explanation why = plan_.supervision->explain(*call);
      if (why.verdict.kind == abi::ActionKind::kKillProcess ||
          why.verdict.kind == abi::ActionKind::kKillThread) {
        reporter_.Denied(*call, tid, why, kernel_, [] { return true; });
      }
    }
  }
  // The program's own thread: whoever waits for it learns of its end only after this.
  if (tid == setup_.program) reporter_.FlushCounts();
}

// RET_TRAP arrives as a signal with a code of its own; a process can forge one for itself, so the
// policy is asked too.
void Watcher::HandleSigsys(pid_t tid) {
  constexpr int kSysSeccomp = 1;  // SYS_SECCOMP, asm-generic/siginfo.h
  auto info = kernel_.SignalInfo(tid);
  if (!info || info->si_code != kSysSeccomp) return;
  auto call = CallAt(tid);
  if (!call) return;
  Explanation why = plan_.supervision->explain(*call);
  if (why.verdict.kind != abi::ActionKind::kTrap) return;
  reporter_.Denied(*call, tid, why, kernel_, [] { return true; });
}

void Watcher::HandleProgramEnd(int status) {
  reporter_.FlushCounts();
  reporter_.Exited(status);
  reporter_.status().Drain(kLastWordsMs);
  reporter_.status().Close();
  reporter_.errors().Drain(kLastWordsMs);
  // Whoever reads the program's standard error until its end must not wait for what it left
  // running.
  if (!reporter_.errors().IsTerminal()) reporter_.errors().Close();
}

void Watcher::HandleStop(pid_t tid, int status) {
  int signal = WSTOPSIG(status);
  Resume how = Resume::kContinue;
  int deliver = 0;
  switch (static_cast<TraceEvent>(status >> 16)) {
    case TraceEvent::kExec:
      if (!attached_) return HandleExec();
      break;
    case TraceEvent::kExit:
      if (attached_ && plan_.supervision) HandleThreadExit(tid);
      break;
    case TraceEvent::kStop:
      if (IsStopSignal(signal)) how = Resume::kListen;
      break;
    case TraceEvent::kFork:
    case TraceEvent::kVfork:
    case TraceEvent::kClone:
    case TraceEvent::kVforkDone:
    case TraceEvent::kSeccomp:
      break;
    case TraceEvent::kNone:
      if (signal == SIGSYS && attached_) HandleSigsys(tid);
      deliver = signal;
      break;
  }
  // ESRCH: killed in between; its end is reported by itself.
  (void)kernel_.Continue(tid, how, deliver);
}

void Watcher::HandleTracees() {
  while (!Finished() && tracing_) {
    auto event = kernel_.Wait(-1, WNOHANG);
    if (!event) {
      tracing_ = false;  // ECHILD
      return;
    }
    if (event->tid == 0) return;
    if (WIFSTOPPED(event->status)) {
      HandleStop(event->tid, event->status);
    } else if (event->tid == setup_.program) {
      if (attached_) HandleProgramEnd(event->status);
    }
  }
}

// The exec failed: the process goes on as what it was, untraced.
void Watcher::ReleaseProgram() {
  gave_up_ = true;
  if (!kernel_.Interrupt(setup_.program)) return;
  auto event = kernel_.Wait(setup_.program, 0);
  if (!event || !WIFSTOPPED(event->status)) return;
  bool is_signal = event->status >> 16 == 0;
  (void)kernel_.Continue(setup_.program, Resume::kDetach, is_signal ? WSTOPSIG(event->status) : 0);
}

void Watcher::HandleSocket() {
  Message message;
  if (ReceiveMessage(socket_, message) && message.kind == Message::Kind::kExecFailed) {
    return ReleaseProgram();
  }
  socket_ = -1;  // closed by the exec; its stop is on the way
}

void Watcher::HandleNotification() {
  auto notification = kernel_.Receive(listener_.get());
  if (!notification) {
    // ENOENT: the target died since poll said there is something. Both are normal.
    if (notification.error() == ENOENT || notification.error() == EINTR) return;
    return GiveUp("receive a notification", notification.error());
  }
  Explanation why;
  if (plan_.supervision->answer) {
    auto refused = plan_.supervision->answer(listener_.get(), *notification);
    if (!refused) return;
    why = std::move(*refused);
  } else {
    why = plan_.supervision->explain(notification->call);
  }
  auto still_waits = [&] { return kernel_.IsPending(listener_.get(), notification->id); };
  if (why.verdict.kind == abi::ActionKind::kKillProcess && plan_.supervision->answer) {
    reporter_.Denied(notification->call, notification->tid, why, kernel_, still_waits);
    KillCaller(*notification);
    why.verdict = abi::Action{abi::ActionKind::kErrno, EPERM};  // it dies before it sees that
    return Refuse(*notification, why);
  }
  if (why.verdict.kind != abi::ActionKind::kErrno) {
    why.reason = "the filter asked about it, the policy says " + abi::ToString(why.verdict) +
                 ": refused to be safe";
    why.verdict = abi::Action{abi::ActionKind::kErrno, EPERM};
  }
  why.verdict.data = std::min(why.verdict.data, kMaxErrno);
  reporter_.Denied(notification->call, notification->tid, why, kernel_, still_waits);
  Refuse(*notification, why);
}

// A kill that was decided here. Only SIGKILL cannot be caught; it goes to the whole process.
void Watcher::KillCaller(const kernel::Notification& notification) {
  pid_t process = IdentifyThread(notification.tid).pid;
  if (process <= 0 || !kernel_.IsPending(listener_.get(), notification.id)) return;
  (void)kernel_.SendSignal(process, notification.tid, SIGKILL);
}

void Watcher::Refuse(const kernel::Notification& notification, const Explanation& why) {
  auto replied = kernel_.ReplyErrno(listener_.get(), notification.id, why.verdict.data);
  // ENOENT: killed, or a signal took the call away; EINPROGRESS: answered already. Nothing is owed.
  if (replied || replied.error() == ENOENT || replied.error() == EINPROGRESS) return;
  GiveUp("answer a notification", replied.error());
}

void Watcher::Run() {
  while (true) {
    HandleTracees();
    if (Finished()) return;
    enum : std::uint8_t { kSignals, kListener, kSocket, kErrors, kStatus, kCount };
    std::array<pollfd, kCount> polled{};
    for (pollfd& descriptor : polled) descriptor.fd = -1;  // ignored by poll
    polled[kSignals] = {.fd = setup_.signals, .events = POLLIN, .revents = 0};
    polled[kListener] = {.fd = listener_.get(), .events = POLLIN, .revents = 0};
    polled[kSocket] = {.fd = socket_, .events = POLLIN, .revents = 0};
    if (reporter_.errors().has_pending()) polled[kErrors].fd = reporter_.errors().fd();
    if (reporter_.status().has_pending()) polled[kStatus].fd = reporter_.status().fd();
    polled[kErrors].events = polled[kStatus].events = POLLOUT;
    auto ready = kernel_.Poll(polled, -1);
    if (!ready) return GiveUp("poll", ready.error());

    if (polled[kSignals].revents != 0) {
      std::array<std::byte, 1024> ignored;
      while (read(setup_.signals, ignored.data(), ignored.size()) > 0) {
      }
    }
    if (polled[kErrors].revents != 0) reporter_.errors().Push();
    if (polled[kStatus].revents != 0) reporter_.status().Push();
    if (polled[kSocket].revents != 0) HandleSocket();
    if ((polled[kListener].revents & POLLIN) != 0) {
      HandleNotification();
    } else if (polled[kListener].revents != 0) {
      listener_.Reset();  // POLLHUP: nobody is left under the filter
    }
  }
}

}  // namespace

void Watch(kernel::Kernel& kernel, const LaunchPlan& plan, const WatchSetup& setup,
           Reporter& reporter) {
  Watcher(kernel, plan, setup, reporter).Run();
  // What the program left running has ended too, or is about to.
  reporter.FlushCounts();
  reporter.errors().Drain(kLastWordsMs);
}

}  // namespace callgate::launch
