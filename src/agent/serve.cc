#include "agent/serve.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "launch/answer.h"
#include "supervise/deciders.h"
#include "supervise/guardian.h"

namespace callgate::agent {
namespace {

// How long the last reports may wait for a reader that is slow.
constexpr int kLastWordsMs = 1000;

// What the threads that decide tell the one that waits.
class Bell {
 public:
  Bell() : fd_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)) {}

  int fd() const { return fd_.get(); }
  void Ring() const {
    std::uint64_t one = 1;
    (void)!write(fd_.get(), &one, sizeof one);
  }
  void Fail(base::Error error) {
    {
      std::lock_guard lock(mutex_);
      if (!failure_) failure_ = std::move(error);
    }
    Ring();
  }
  std::optional<base::Error> Answer() {
    std::uint64_t ignored = 0;
    (void)!read(fd_.get(), &ignored, sizeof ignored);
    std::lock_guard lock(mutex_);
    return std::exchange(failure_, std::nullopt);
  }

 private:
  base::UniqueFd fd_;
  std::mutex mutex_;
  std::optional<base::Error> failure_;  // of the listener
};

// Until the listener hangs up or breaks. Reports that a reader did not take are written when there
// is room again.
void Wait(kernel::Kernel& kernel, int listener, Bell& bell, launch::Reporter& reporter) {
  while (true) {
    enum : std::uint8_t { kListener, kBell, kErrors, kCount };
    std::array<pollfd, kCount> polled{};
    polled[kListener] = {.fd = listener, .events = 0, .revents = 0};
    polled[kBell] = {.fd = bell.fd(), .events = POLLIN, .revents = 0};
    polled[kErrors] = {.fd = reporter.unwritten().errors, .events = POLLOUT, .revents = 0};
    auto ready = kernel.Poll(polled, -1);
    std::optional<base::Error> failure;
    if (!ready && ready.error() != EINTR) failure = base::ErrnoError("poll", "", ready.error());
    if (ready && polled[kErrors].revents != 0) reporter.Push();
    if (ready && polled[kBell].revents != 0) failure = bell.Answer();
    if (failure) {
      failure->advice = "the container's calls that notify fail with ENOSYS from now on";
      reporter.Failed(*failure);
      return;
    }
    if (ready && polled[kListener].revents != 0) return;
  }
}

}  // namespace

base::Result<void> Serve(kernel::Kernel& kernel, const launch::Supervision& supervision,
                         int listener, launch::Reporter& reporter) {
  (void)kernel.WakeSynchronously(listener);
  Bell bell;
  if (bell.fd() < 0) return base::Fail(base::ErrnoError("make an eventfd", ""));
  auto callbacks = launch::AnswerAndReport(
      kernel, supervision, listener, reporter, [&](std::string_view operation, int errno_value) {
        bell.Fail(base::ErrnoError(operation, "", errno_value));
      });
  callbacks.decide = [&, decide = std::move(callbacks.decide)](const supervise::Turn& turn) {
    decide(turn);
    if (reporter.HasUnwritten()) bell.Ring();
  };
  supervise::Guardian guardian(kernel, listener, supervise::kDeadline);
  if (!guardian.Start()) return base::Fail(base::ErrnoError("start a guardian", "", EAGAIN));
  supervise::Deciders deciders(kernel, listener, std::move(callbacks),
                               supervise::Deciders::Limits{.ledger = guardian.ledger()});
  if (!deciders.Start()) return base::Fail(base::ErrnoError("start a thread", "", EAGAIN));
  Wait(kernel, listener, bell, reporter);
  const bool ended = deciders.Stop(std::chrono::milliseconds(kLastWordsMs));
  if (supervision.at_end) supervision.at_end();
  reporter.FlushCounts();
  reporter.Drain(kLastWordsMs);
  // A thread that hangs in a container's call cannot be waited for; it ends with the process.
  if (!ended) _exit(0);
  return {};
}

}  // namespace callgate::agent
