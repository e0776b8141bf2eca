#include "supervise/workers.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <string>
#include <string_view>
#include <system_error>

#include "base/unique_fd.h"
#include "fmt/format.h"
#include "supervise/engine.h"

namespace callgate::supervise {
namespace {

// How long a caller may wait for its signal. Short enough not to be noticed at a terminal; at work
// only while calls are waiting.
constexpr std::chrono::milliseconds kTick{20};
constexpr int kInterrupt = SIGUSR2;

std::uint64_t SignalSet(std::string_view status, std::string_view label) {
  std::size_t at = status.find(label);
  std::uint64_t set = 0;
  if (at == std::string_view::npos) return 0;
  std::from_chars(status.data() + at + label.size(), status.data() + status.size(), set, 16);
  return set;
}

// Without SA_RESTART: the system call that waits must come back.
void CatchInterrupt() {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  sigaction(kInterrupt, &action, nullptr);
}

}  // namespace

PendingSignal ParsePendingSignal(std::string_view status) {
  std::uint64_t idle = SignalSet(status, "\nSigBlk:\t") | SignalSet(status, "\nSigIgn:\t");
  if ((SignalSet(status, "\nSigPnd:\t") & ~idle) != 0) return PendingSignal::kOwn;
  if ((SignalSet(status, "\nShdPnd:\t") & ~idle) == 0) return PendingSignal::kNone;
  return status.find("\nThreads:\t1\n") == std::string_view::npos ? PendingSignal::kMaybeAnothers
                                                                  : PendingSignal::kOwn;
}

PendingSignal PendingSignalOf(pid_t tid) {
  base::UniqueFd fd(open(fmt::format("/proc/{}/status", tid).c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(8192, '\0');
  ssize_t size = fd.valid() ? read(fd.get(), text.data(), text.size()) : -1;
  if (size <= 0) return PendingSignal::kNone;
  text.resize(static_cast<std::size_t>(size));
  // Thousands of groups push the signals out of the first pages.
  for (std::array<char, 4096> more; (size = read(fd.get(), more.data(), more.size())) > 0;) {
    text.append(more.data(), static_cast<std::size_t>(size));
  }
  return ParsePendingSignal(text);
}

Workers::~Workers() {
  std::unique_lock lock(mutex_);
  stopping_ = true;
  changed_.notify_all();
  changed_.wait(lock, [this] { return entries_.empty(); });
  lock.unlock();
  if (watcher_.joinable()) watcher_.join();
}

bool Workers::Start(Job job, std::function<void()> work) {
  std::lock_guard lock(mutex_);
  if (entries_.size() >= kMaxInFlight || stopping_) return false;
  try {
    if (!watcher_.joinable()) {
      CatchInterrupt();
      watcher_ = std::thread([this] { Watch(); });
    }
    auto entry = entries_.insert(entries_.end(), Entry{.job = job});
    try {
      std::thread worker([this, entry, work = std::move(work)] {
        {
          std::lock_guard started(mutex_);
          entry->thread = pthread_self();
          entry->running = true;
        }
        work();
        std::lock_guard ended(mutex_);
        entries_.erase(entry);
        changed_.notify_all();
      });
      worker.detach();
    } catch (const std::system_error&) {
      entries_.erase(entry);
      return false;
    }
  } catch (const std::system_error&) {
    return false;
  }
  changed_.notify_all();
  return true;
}

// A signal that comes just before the worker enters its system call is lost, so it is sent again
// at every tick until the worker is done.
void Workers::Watch() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return !entries_.empty() || stopping_; });
    if (entries_.empty() && stopping_) return;
    for (Entry& entry : entries_) {
      if (!entry.running) continue;
      bool done = stopping_ || !kernel_.IsPending(entry.job.listener, entry.job.id) ||
                  PendingSignalOf(entry.job.tid) != PendingSignal::kNone;
      if (done) pthread_kill(entry.thread, kInterrupt);
    }
    changed_.wait_for(lock, kTick, [] { return false; });
  }
}

}  // namespace callgate::supervise
