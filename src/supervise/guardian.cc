// Why a second process. When the supervisor dies, the kernel closes its listener and fails every
// call that waits; nobody hangs. When it is stopped (SIGSTOP, a debugger) or hangs, the listener
// lives, and calls would wait for ever: somebody else has to answer them. He needs the listener,
// the ids of the calls that the supervisor has taken, and a sign that it is alive. The last two lie
// in a page that both have (ledger.h).
//
// He must not outlive the supervisor: as long as he holds the listener the kernel does not answer,
// and he could be stopped himself. So he is a direct child that dies with the thread that made him
// (PR_SET_PDEATHSIG), which needs no instruction of his. That thread does nothing else than to make
// him again when somebody has killed him.
//
// He looks twice a second rather than to poll the listener: a poll would be woken by every call. He
// refuses only after nothing was done for all his patience while a call waited. A supervisor that
// is merely slow does something every 10 ms (the watcher of deciders.cc).
//
// Left open: a call that he has refused while the supervisor was about to perform it may be
// performed when that is continued, as after any deadline.
//
// In the child: no locks, and no memory but what glibc's fork keeps usable.

#include "supervise/guardian.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <climits>
#include <ctime>
#include <system_error>
#include <utility>

namespace callgate::supervise {
namespace {

constexpr std::chrono::milliseconds kRound{500};
constexpr int kMaxRefusals = 4096;  // in one round

void Sleep(std::chrono::milliseconds time) {
  timespec rest{.tv_sec = time.count() / 1000, .tv_nsec = time.count() % 1000 * 1'000'000};
  (void)nanosleep(&rest, nullptr);
}

void CloseAllBut(int kept) {
  if (kept > 0) (void)close_range(0, static_cast<unsigned>(kept) - 1, 0);
  if (close_range(static_cast<unsigned>(kept) + 1, UINT_MAX, 0) == 0) return;
  // Before Linux 5.9.
  auto end = static_cast<int>(sysconf(_SC_OPEN_MAX));
  for (int fd = 0; fd < end; ++fd) {
    if (fd != kept) close(fd);
  }
}

[[noreturn]] void Guard(GuardianRound round, int listener, pid_t supervisor) {
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != supervisor) _exit(0);  // it died before that
  (void)prctl(PR_SET_NAME, "callgate-guard", 0, 0, 0);
  CloseAllBut(listener);
  round.RefuseInherited();
  do {
    Sleep(kRound);
  } while (round.Look());
  _exit(0);
}

}  // namespace

bool GuardianRound::Look() {
  std::array<pollfd, 1> polled{{{.fd = listener_, .events = POLLIN, .revents = 0}}};
  bool polls = kernel_.Poll(polled, 0).has_value();
  if (polls && (polled[0].revents & POLLHUP) != 0) return false;
  bool waits = (polled[0].revents & POLLIN) != 0 || !ledger_.IsEmpty();
  std::uint64_t steps = ledger_.steps.load(std::memory_order_relaxed);
  idle_ = waits && steps == steps_ ? idle_ + 1 : 0;
  steps_ = steps;
  if (idle_ >= patience_) RefuseAll();
  return true;
}

void GuardianRound::RefuseInherited() {
  auto& inherited = ledger_.calls[Ledger::kGuardian].id;
  std::uint64_t id = inherited.exchange(0);
  if (id != 0) (void)kernel_.ReplyErrno(listener_, id, ETIMEDOUT);
}

void GuardianRound::RefuseAll() {
  for (const auto& call : ledger_.calls) {
    std::uint64_t id = call.id.load(std::memory_order_acquire);
    // Answered already, or gone: nothing is owed.
    if (id != 0) (void)kernel_.ReplyErrno(listener_, id, ETIMEDOUT);
  }
  std::array<pollfd, 1> polled{{{.fd = listener_, .events = POLLIN, .revents = 0}}};
  for (int i = 0; i < kMaxRefusals; ++i) {
    if (ledger_.steps.load(std::memory_order_relaxed) != steps_) return;  // it is back
    if (kernel_.Poll(polled, 0).value_or(0) <= 0 || (polled[0].revents & POLLIN) == 0) return;
    kernel::NotificationRoom& room = ledger_.calls[Ledger::kGuardian];
    auto received = kernel_.Receive(listener_, room);
    if (received) (void)kernel_.ReplyErrno(listener_, received->id, ETIMEDOUT);
    room.id.store(0, std::memory_order_release);
  }
}

Guardian::Guardian(kernel::Kernel& kernel, int listener, std::chrono::milliseconds patience)
    : kernel_(kernel), listener_(listener), patience_(patience) {}

bool Guardian::Start() {
  void* shared =
      mmap(nullptr, sizeof(Ledger), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) return false;
  ledger_ = static_cast<Ledger*>(shared);
  // A pipe that is written by nobody ends when the last of its writing ends is closed.
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) < 0) return false;
  base::UniqueFd is_born(ends[0]);
  base::UniqueFd born(ends[1]);
  try {
    keeper_ = std::thread([this, born = std::move(born)]() mutable { Keep(std::move(born)); });
  } catch (const std::system_error&) {
    return false;
  }
  char nothing = 0;
  while (read(is_born.get(), &nothing, 1) < 0 && errno == EINTR) {
  }
  return true;
}

Guardian::~Guardian() {
  {
    std::lock_guard lock(mutex_);
    over_ = true;
    if (process_ > 0) (void)kill(process_, SIGKILL);
  }
  if (keeper_.joinable()) keeper_.join();
  if (ledger_ != nullptr) (void)munmap(ledger_, sizeof(Ledger));
}

void Guardian::Keep(base::UniqueFd born) {
  GuardianRound round(kernel_, listener_, *ledger_, static_cast<int>(patience_ / kRound));
  pid_t supervisor = getpid();
  while (true) {
    pid_t process = 0;
    {
      std::lock_guard lock(mutex_);
      if (over_) return;
      process = fork();
      if (process == 0) Guard(round, listener_, supervisor);
      process_ = process;
    }
    born.Reset();
    int status = 0;
    if (process < 0) {
      Sleep(kRound);
      continue;
    }
    while (waitpid(process, &status, 0) < 0 && errno == EINTR) {
    }
    std::lock_guard lock(mutex_);
    process_ = 0;
    // Nobody is left to be guarded.
    if (WIFEXITED(status)) return;
  }
}

}  // namespace callgate::supervise
