#pragma once

#include <sys/types.h>

#include <condition_variable>
#include <cstdint>
#include <functional>
#include <list>
#include <mutex>
#include <thread>

#include "kernel/kernel.h"

namespace callgate::supervise {

// Threads for calls that may take as long as somebody likes. Each is interrupted, by a signal that
// does nothing, when its caller is gone or has a signal to attend to.
class Workers {
 public:
  // `work` runs in a thread; interrupted() tells it that a system call of it that failed with EINTR
  // was interrupted on purpose.
  struct Job {
    int listener = -1;
    std::uint64_t id = 0;
    pid_t tid = 0;  // the caller
  };

  explicit Workers(kernel::Kernel& kernel) : kernel_(kernel) {}
  ~Workers();

  // False: kMaxInFlight are at work already, or no thread can be started.
  bool Start(Job job, std::function<void()> work);

 private:
  struct Entry {
    Job job;
    pthread_t thread{};
    bool running = false;
  };
  void Watch();

  kernel::Kernel& kernel_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::list<Entry> entries_;
  std::thread watcher_;
  bool stopping_ = false;
};

// Has the thread a signal that would interrupt a system call of its own?
enum class PendingSignal : std::uint8_t {
  kNone,
  kMaybeAnothers,  // for the process: another thread may take it
  kOwn,            // this thread will take it
};
PendingSignal PendingSignalOf(pid_t tid);
// From the text of /proc/TID/status.
PendingSignal ParsePendingSignal(std::string_view status);

}  // namespace callgate::supervise
