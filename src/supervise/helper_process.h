#pragma once

#include <chrono>
#include <cstdint>

#include "base/unique_fd.h"
#include "kernel/kernel.h"
#include "supervise/helper.h"

namespace callgate::supervise {

// What a helper is asked; one question, one answer.
enum class Ask : std::uint8_t {
  kEnter,    // first of all. Answer: errno, and which step failed
  kPrepare,  // a call. Answer: errno, and all that can be told of it at once
  kLook,     // at what was not told. Answer: errno, value
  kPerform,  // with the umask, where it is needed. Answer: kPerform and the Reply, with its
             // descriptor
  kOpen,     // a call and what was copied for it, by which it is presumed. Answer: as kPerform
  kForget,   // the call. No answer
  kMayWait,  // of the helper, while it performs; the answer is a Number
};

// No helper is kept for longer than this without a call: it keeps namespaces alive.
inline constexpr std::chrono::seconds kIdle{10};

// The life of a helper, in a process of its own that has one thread. Before it enters anything it
// tells its process id. `own`: of the supervisor.
[[noreturn]] void ServeAsHelper(kernel::Kernel& kernel, const Standing& standing,
                                const Identity& own, int caller_pidfd, base::UniqueFd socket);

}  // namespace callgate::supervise
