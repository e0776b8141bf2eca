#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

namespace callgate::supervise {

// Has the thread a signal that would interrupt a system call of its own?
enum class PendingSignal : std::uint8_t {
  kNone,
  kMaybeAnothers,  // for the process: another thread may take it
  kOwn,            // this thread will take it
};
PendingSignal PendingSignalOf(pid_t tid);
// From the text of /proc/TID/status.
PendingSignal ParsePendingSignal(std::string_view status);

// Of a performed call that was interrupted for the caller's sake.
int InterruptedErrno(pid_t tid);

}  // namespace callgate::supervise
