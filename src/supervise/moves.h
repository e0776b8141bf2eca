#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "abi/call.h"
#include "base/unique_fd.h"
#include "supervise/deciders.h"
#include "supervise/engine.h"
#include "supervise/facts.h"
#include "supervise/identity.h"

namespace callgate::supervise {

// The calls that go on and may change the caller's directories, to be judged once more when they
// have (perform_move.cc). Several threads may use it at once.
class Moves {
 public:
  // The call of this turn goes on, and its caller is stopped behind it. `agreed`: as in Starts.
  // Else: why it must not.
  std::optional<std::string> GoOn(kernel::Kernel& kernel, const Turn& turn, const Identity& caller,
                                  std::vector<Facts> agreed);
  // Judges where `tid`, which stands at a stop, has come to, if it is such a caller.
  Outcome Judge(kernel::Kernel& kernel, pid_t tid, const DecideFunction& decide);

 private:
  struct Move {
    abi::Call call;
    std::uint64_t id = 0;  // of the notification
    base::UniqueFd pidfd;  // of the caller, whose number may be another's one day
    base::UniqueFd root;   // in which places have their names: the caller's before the call
    std::vector<Facts> agreed;
  };

  void Forget(pid_t tid, std::uint64_t id);

  std::mutex mutex_;
  std::map<pid_t, Move> moves_;
};

}  // namespace callgate::supervise
