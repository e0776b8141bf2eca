#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "kernel/kernel.h"
#include "policy/typed.h"

namespace callgate::supervise {

// The policy, asked about one call. Pure: all it learns of the call it learns through `look`, or
// from the registers where `look` is empty.
using DecideFunction =
    std::function<policy::PolicyAction(const abi::Call& call, const policy::LookFunction& look)>;

// What the engine made of a notification.
struct Outcome {
  enum class Kind : std::uint8_t {
    kAnswered,  // replied to, or a worker will; or the target is gone
    kRefused,   // to be reported, then to get errno_value as its reply
    kKilled,    // to be reported, then its process is to be killed
  };

  Kind kind = Kind::kAnswered;
  int errno_value = 0;
  std::string reason = {};  // why, where it is not the policy that refuses
};

// Decides notified calls that registers do not decide, and performs those that are allowed. For one
// listener and one caller at a time. Threads are started when the first call that may take long is
// performed, so that an engine may be made before a fork.
//
// Nothing it fails at lets a call through: what cannot be read, resolved, pinned, performed or
// delivered is refused.
class Engine {
 public:
  explicit Engine(kernel::Kernel& kernel);
  ~Engine();
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;

  Outcome Handle(int listener, const kernel::Notification& notification,
                 const DecideFunction& decide);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Calls that may be performed at the same time because they take long; beyond that they fail with
// EAGAIN. A bound, not a goal: each holds a thread and up to six descriptors.
inline constexpr std::size_t kMaxInFlight = 64;

}  // namespace callgate::supervise
