// The thread that traces: one poll loop, for tracees that stop and output that takes more. Calls
// that wait for their answer on the listener have threads of their own (supervise/deciders.cc,
// answer.cc), so that a call that takes long to decide never holds up a stopped tracee.
//
// Tracing keeps no state per thread. Each stop is answered by what it is alone: a signal is
// delivered as it came, a group stop is listened to (so that job control works as without a
// tracer), new children and threads are let go, and a thread that exits (PTRACE_EVENT_EXIT) is
// looked at. If the filter is what ends it, its registers still hold the refused call; they are
// read, the report is written, and only then does the death go on, so the report stands before the
// shell's prompt. There is nothing to forget when a thread execs, is killed, or takes over its
// leader's id.
//
// Should this process die, EXITKILL takes the traced ones with it and the kernel answers ENOSYS to
// the calls of the others. Should it be stopped, the guardian refuses what waits
// (supervise/guardian.cc). Nothing gets wider.

#include "launch/watch.h"

#include <sys/eventfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "launch/answer.h"
#include "launch/attach.h"
#include "launch/child.h"
#include "launch/report.h"
#include "supervise/guardian.h"

namespace callgate::launch {
namespace {

using kernel::Resume;
using kernel::TraceEvent;

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
  void Finish();

 private:
  void HandleTracees();
  void HandleStop(pid_t tid, int status);
  void HandleExec();
  // False: it is killed.
  bool HandleLaterExec(pid_t pid);
  bool HandleReturn(pid_t tid);
  bool HandleLater(pid_t tid, const std::optional<RefusedLater>& refused);
  void HandleChange(pid_t tid);
  void HandleThreadExit(pid_t tid);
  void HandleSigsys(pid_t tid);
  void HandleProgramEnd(int status);
  void HandleSocket();
  bool StartDeciding();
  void HandleHangUp();
  void Wake();
  // Another thread has written a report, or its last words, or wants a thread to be stopped.
  void HandleWake();
  // Of another thread: supervise::Turn::hold. It waits for the one that traces.
  bool Hold(pid_t tid);
  void HandleHolds(bool may_be);
  void ReleaseProgram();
  void GiveUp(std::string_view operation, int errno_value);
  // The call that a stopped thread is in.
  std::optional<abi::Call> CallAt(pid_t tid);
  bool Finished() const { return gave_up_ || (!tracing_ && !deciding_); }

  kernel::Kernel& kernel_;
  const LaunchPlan& plan_;
  WatchSetup setup_;
  Reporter& reporter_;
  int socket_;
  base::UniqueFd listener_;
  base::UniqueFd wake_;  // eventfd(2): other threads want this one to look
  struct Failure {
    std::string operation;
    int errno_value;
  };
  std::mutex mutex_;
  std::optional<Failure> failure_;  // of the listener
  struct Holding {
    pid_t tid;
    bool is_done = false;
    bool is_held = false;
  };
  std::vector<Holding*> holds_;  // to come; nobody adds one when that is over
  std::condition_variable held_;
  bool holds_end_ = false;
  std::optional<supervise::Guardian> guardian_;
  std::optional<supervise::Deciders> deciders_;
  bool attached_ = false;
  bool tracing_ = true;    // there are tracees
  bool deciding_ = false;  // there are threads under the listener's filter
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
    if (plan_.supervision->judge_exec || plan_.supervision->change) options |= kernel::kTraceExec;
    if (plan_.supervision->change) options |= kernel::kTraceSeccomp;
  }
  Attachment attachment =
      AttachFilters(kernel_, setup_.program, plan_.stack, options, [&](const base::Error& error) {
        reporter_.Failed(error);
        reporter_.Drain(kLastWordsMs);
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
  if (listener_.valid() && !StartDeciding()) {
    (void)kernel_.SendSignal(setup_.program, setup_.program, SIGKILL);
    return GiveUp("start a thread", EAGAIN);
  }
  reporter_.Started(setup_.program, plan_.argv);
  (void)kernel_.Continue(setup_.program, Resume::kContinue, 0);
}

// The filter stops a thread here only for what it is about to change.
void Watcher::HandleChange(pid_t tid) {
  auto change = kernel_.EventMessage(tid);
  if (change) plan_.supervision->change(static_cast<supervise::Change>(*change));
}

bool Watcher::HandleLaterExec(pid_t pid) {
  auto former_tid = kernel_.EventMessage(pid);
  if (!former_tid) return true;  // ESRCH: it is dying
  const bool takes_id = static_cast<pid_t>(*former_tid) != pid;
  if (takes_id && plan_.supervision->change) plan_.supervision->change(supervise::Change::kSelf);
  if (!plan_.supervision->judge_exec) return true;
  return HandleLater(pid, plan_.supervision->judge_exec(pid, static_cast<pid_t>(*former_tid)));
}

bool Watcher::HandleReturn(pid_t tid) {
  if (!plan_.supervision || !plan_.supervision->judge_return) return true;
  return HandleLater(tid, plan_.supervision->judge_return(tid));
}

// Both are the first threads of their processes.
bool Watcher::HandleLater(pid_t pid, const std::optional<RefusedLater>& refused) {
  if (!refused) return true;
  reporter_.Denied(refused->call, pid, refused->why, ProcTarget(kernel_, pid), [] { return true; });
  auto killed = kernel_.SendSignal(pid, pid, SIGKILL);
  if (!killed && killed.error() != ESRCH) GiveUp("kill a process", killed.error());
  if (refused->decision) {
    kernel::Notification call{.id = 0, .tid = pid, .call = refused->call};
    reporter_.Decided(
        {.notification = call, .pid = pid, .decision = *refused->decision, .outcome = "killed"});
  }
  return false;
}

// A thread ends. Did the filter end it?
void Watcher::HandleThreadExit(pid_t tid) {
  auto code = kernel_.EventMessage(tid);
  if (code && (*code & 0x7f) == SIGSYS) {
    if (auto call = CallAt(tid)) {
      Explanation why = plan_.supervision->explain(*call);
      if (why.verdict.kind == abi::ActionKind::kKillProcess ||
          why.verdict.kind == abi::ActionKind::kKillThread) {
        reporter_.Denied(*call, tid, why, ProcTarget(kernel_, tid), [] { return true; });
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
  reporter_.Denied(*call, tid, why, ProcTarget(kernel_, tid), [] { return true; });
}

void Watcher::HandleProgramEnd(int status) {
  reporter_.FlushCounts();
  reporter_.Exited(status, kLastWordsMs);
}

void Watcher::HandleStop(pid_t tid, int status) {
  if (!HandleReturn(tid)) return;
  int signal = WSTOPSIG(status);
  Resume how = Resume::kContinue;
  int deliver = 0;
  switch (static_cast<TraceEvent>(status >> 16)) {
    case TraceEvent::kExec:
      if (!attached_) return HandleExec();
      if (plan_.supervision && !HandleLaterExec(tid)) return;
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
      break;
    case TraceEvent::kSeccomp:
      if (attached_ && plan_.supervision) HandleChange(tid);
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
    auto stop = kernel_.Wait(-1, WNOHANG | WSTOPPED);
    if (stop && stop->tid != 0) {
      HandleStop(stop->tid, stop->status);
      continue;
    }
    auto end = kernel_.Wait(-1, WNOHANG | WEXITED | WNOWAIT);
    if (!end) {
      tracing_ = false;  // ECHILD
      return;
    }
    if (end->tid == 0) return;
    if (WIFSTOPPED(end->status)) continue;  // since the look at stops
    // Whoever waits for the program learns of its end by the second wait, after the last report.
    if (end->tid == setup_.program && attached_) HandleProgramEnd(end->status);
    (void)kernel_.Wait(end->tid, WNOHANG | WEXITED);
  }
}

// The exec failed: the process goes on as what it was, untraced.
void Watcher::ReleaseProgram() {
  gave_up_ = true;
  if (!kernel_.Interrupt(setup_.program)) return;
  auto event = kernel_.Wait(setup_.program, WSTOPPED | WEXITED);
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

// Nobody is left under the filter. The descriptor stays open for threads that still look at it.
void Watcher::HandleHangUp() { deciding_ = false; }

void Watcher::Wake() {
  std::uint64_t one = 1;
  (void)!write(wake_.get(), &one, sizeof one);
}

bool Watcher::StartDeciding() {
  (void)kernel_.WakeSynchronously(listener_.get());
  wake_.Reset(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!wake_.valid()) return false;
  auto fail = [this](std::string_view operation, int errno_value) {
    std::lock_guard lock(mutex_);
    if (!failure_) failure_ = {std::string(operation), errno_value};
    Wake();
  };
  auto callbacks =
      AnswerAndReport(kernel_, *plan_.supervision, listener_.get(), reporter_, std::move(fail));
  // Output that a reader did not take is written by this thread, when there is room again.
  callbacks.decide = [this, decide = std::move(callbacks.decide)](const supervise::Turn& turn) {
    decide(turn);
    if (reporter_.HasUnwritten()) Wake();
  };
  callbacks.hold = [this](pid_t tid) { return Hold(tid); };
  guardian_.emplace(kernel_, listener_.get(), supervise::kDeadline);
  if (!guardian_->Start()) return false;
  deciders_.emplace(kernel_, listener_.get(), std::move(callbacks),
                    supervise::Deciders::Limits{.ledger = guardian_->ledger()});
  deciding_ = deciders_->Start();
  return deciding_;
}

bool Watcher::Hold(pid_t tid) {
  Holding holding{.tid = tid};
  std::unique_lock lock(mutex_);
  if (holds_end_) return false;
  holds_.push_back(&holding);
  Wake();
  held_.wait(lock, [&] { return holding.is_done; });
  return holding.is_held;
}

void Watcher::HandleHolds(bool may_be) {
  std::lock_guard lock(mutex_);
  holds_end_ = !may_be;
  for (Holding* holding : holds_) {
    holding->is_held = may_be && kernel_.Interrupt(holding->tid).has_value();
    holding->is_done = true;
  }
  holds_.clear();
  held_.notify_all();
}

void Watcher::HandleWake() {
  std::uint64_t ignored = 0;
  (void)!read(wake_.get(), &ignored, sizeof ignored);
  if (!holds_end_) HandleHolds(true);
  std::optional<Failure> failure;
  {
    std::lock_guard lock(mutex_);
    failure = std::exchange(failure_, std::nullopt);
  }
  if (failure) GiveUp(failure->operation, failure->errno_value);
}

void Watcher::Run() {
  while (true) {
    HandleTracees();
    if (Finished()) return;
    enum : std::uint8_t { kSignals, kListener, kSocket, kWake, kErrors, kStatus, kAudit, kCount };
    std::array<pollfd, kCount> polled{};
    for (pollfd& descriptor : polled) descriptor.fd = -1;  // ignored by poll
    polled[kSignals] = {.fd = setup_.signals, .events = POLLIN, .revents = 0};
    // Its hanging up alone; what comes in is for the deciders.
    polled[kListener] = {.fd = deciding_ ? listener_.get() : -1, .events = 0, .revents = 0};
    polled[kSocket] = {.fd = socket_, .events = POLLIN, .revents = 0};
    polled[kWake] = {.fd = wake_.get(), .events = POLLIN, .revents = 0};
    Reporter::Unwritten unwritten = reporter_.unwritten();
    polled[kErrors] = {.fd = unwritten.errors, .events = POLLOUT, .revents = 0};
    polled[kStatus] = {.fd = unwritten.status, .events = POLLOUT, .revents = 0};
    polled[kAudit] = {.fd = unwritten.audit, .events = POLLOUT, .revents = 0};
    auto ready = kernel_.Poll(polled, -1);
    if (!ready) return GiveUp("poll", ready.error());

    if (polled[kSignals].revents != 0) {
      std::array<std::byte, 1024> ignored;
      while (read(setup_.signals, ignored.data(), ignored.size()) > 0) {
      }
    }
    if ((polled[kErrors].revents | polled[kStatus].revents | polled[kAudit].revents) != 0) {
      reporter_.Push();
    }
    if (polled[kSocket].revents != 0) HandleSocket();
    if (polled[kWake].revents != 0) HandleWake();
    if (polled[kListener].revents != 0) HandleHangUp();
  }
}

void Watcher::Finish() {
  HandleHolds(false);
  bool ended = !deciders_ || deciders_->Stop(std::chrono::milliseconds(kLastWordsMs));
  if (plan_.supervision && plan_.supervision->at_end) plan_.supervision->at_end();
  if (!gave_up_) HandleWake();
  // What the program left running has ended too, or is about to.
  reporter_.FlushCounts();
  reporter_.Drain(kLastWordsMs);
  reporter_.Finished(kLastWordsMs);
  // A thread that hangs in a call of the program cannot be waited for; it ends with the process.
  if (!ended) _exit(0);
}

}  // namespace

void Watch(kernel::Kernel& kernel, const LaunchPlan& plan, const WatchSetup& setup,
           Reporter& reporter) {
  Watcher watcher(kernel, plan, setup, reporter);
  watcher.Run();
  watcher.Finish();
}

}  // namespace callgate::launch
