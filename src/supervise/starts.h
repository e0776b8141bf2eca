#pragma once

#include <sys/types.h>

#include <map>
#include <mutex>
#include <vector>

#include "abi/call.h"
#include "supervise/deciders.h"
#include "supervise/engine.h"
#include "supervise/identity.h"

namespace callgate::supervise {

// Is it execve or execveat, of any ABI?
bool StartsProgram(const abi::Call& call);
// May it happen, by one of a call's meanings?
bool IsLet(policy::PolicyAction action);

// Does the policy leave it to somebody outside?
bool IsLeft(policy::PolicyAction action);

// The execs that go on, to be judged once more when they have loaded something (perform_exec.cc).
// Several threads may use it at once.
class Starts {
 public:
  enum class Then : std::uint8_t {
    kJudge,    // what is loaded
    kNothing,  // registers decided, or the policy wants no more
  };

  // The call of this turn goes on. `caller`: who makes it. `agreed`: what somebody outside was told
  // before he allowed it; if the policy leaves to him what was loaded, it must be one of these.
  void GoOn(kernel::Kernel& kernel, const Turn& turn, Then then, const Identity& caller = {},
            std::vector<Facts> agreed = {});
  // Judges what `pid`, which stands at its exec stop, has loaded; `former_tid` made the call.
  Outcome Judge(pid_t pid, pid_t former_tid, const DecideFunction& decide);

 private:
  struct Start {
    abi::Call call;
    bool must_have_our_root = false;  // Identity
    std::vector<Facts> agreed;
  };

  std::mutex mutex_;
  // By the thread that calls. One that fails leaves its call here until the thread's next one, or
  // until there are too many.
  std::map<pid_t, Start> calls_;
};

}  // namespace callgate::supervise
