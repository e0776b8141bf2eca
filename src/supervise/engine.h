#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernel/kernel.h"
#include "policy/typed.h"
#include "supervise/deciders.h"
#include "supervise/identities.h"
#include "supervise/outside.h"

namespace callgate::supervise {

// The policy, asked about one call. Pure: all it learns of the call it learns through `look`, or
// from the registers where `look` is empty.
using DecideFunction =
    std::function<policy::PolicyAction(const abi::Call& call, const policy::LookFunction& look)>;

// What the engine made of a notification.
struct Outcome {
  enum class Kind : std::uint8_t {
    kAnswered,  // replied to, or at least performed: errno_value, or 0 where it did not fail
    kGone,  // the target is gone, or somebody else has answered: what was copied may be another's
    kRefused,  // to be reported, then to get errno_value as its reply
    kKilled,   // to be reported, then its process is to be killed
  };

  Kind kind = Kind::kAnswered;
  int errno_value = 0;
  std::string reason = {};  // why, where it is not the policy that refuses
  abi::Call call = {};      // of HandleExec: with what the process can still be asked about
};

// Decides notified calls that registers do not decide, and performs those that are allowed. Several
// threads may use it at once; each gets a working directory and a umask of its own. It may be made
// before a fork and used after it.
//
// Nothing it fails at lets a call through: what cannot be read, resolved, pinned, performed or
// delivered is refused.
class Engine {
 public:
  explicit Engine(kernel::Kernel& kernel, Fixed fixed = {});
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  // `outside`: who answers what the policy leaves to somebody else; nullptr: nobody, it is refused.
  Outcome Handle(const Turn& turn, const DecideFunction& decide,
                 const OutsideFunction& outside = nullptr);
  // Judges what `pid`, which stands at its exec stop, has loaded; `former_tid` made the call.
  // kKilled: it must not run its first instruction; `call` is for the report.
  Outcome HandleExec(pid_t pid, pid_t former_tid, const DecideFunction& decide);
  // The same of a thread that was held behind a call, where it has come to (Turn::hold). To be
  // asked at every stop of a thread: whether it is that stop is known here.
  Outcome HandleReturn(pid_t tid, const DecideFunction& decide);
  // A thread stands before a call that changes what is remembered of it, and is let go after this.
  void Tell(Change change);
  // To be called when no more calls come: ends the processes that make calls in other namespaces.
  void EndHelpers();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace callgate::supervise
