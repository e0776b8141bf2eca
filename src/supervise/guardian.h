#pragma once

#include <sys/types.h>

#include <chrono>
#include <mutex>
#include <thread>

#include "base/unique_fd.h"
#include "kernel/kernel.h"
#include "supervise/ledger.h"

namespace callgate::supervise {

// A process beside the supervisor that refuses calls in its place when it does nothing any more: it
// is stopped, or hangs altogether. It ends with the supervisor.
class Guardian {
 public:
  // `patience`: how long a call may wait without anything being done about any call.
  Guardian(kernel::Kernel& kernel, int listener, std::chrono::milliseconds patience);
  ~Guardian();
  Guardian(const Guardian&) = delete;
  Guardian& operator=(const Guardian&) = delete;

  // Returns when the guardian has closed all it does not need: a copy of what is opened for a call
  // would keep it in use. False: no memory to share, or no thread or descriptor to be had.
  bool Start();
  // What the supervisor has to write down; nullptr before Start.
  Ledger* ledger() const { return ledger_; }

 private:
  // Closes `born` when there is a guardian.
  void Keep(base::UniqueFd born);

  kernel::Kernel& kernel_;
  const int listener_;
  const std::chrono::milliseconds patience_;
  Ledger* ledger_ = nullptr;
  std::thread keeper_;
  std::mutex mutex_;  // what follows
  pid_t process_ = 0;
  bool over_ = false;
};

// One round of the guardian. `patience`, in rounds, counts down while calls wait and nothing is
// done; when it is used up, all that waits is refused with ETIMEDOUT.
class GuardianRound {
 public:
  GuardianRound(kernel::Kernel& kernel, int listener, Ledger& ledger, int patience)
      : kernel_(kernel), listener_(listener), ledger_(ledger), patience_(patience) {}

  // False: nobody is left under the listener's filter.
  bool Look();
  // What the guardian before this one has taken and not answered.
  void RefuseInherited();

 private:
  void RefuseAll();

  kernel::Kernel& kernel_;
  const int listener_;
  Ledger& ledger_;
  const int patience_;
  int idle_ = 0;
  std::uint64_t steps_ = 0;
};

}  // namespace callgate::supervise
