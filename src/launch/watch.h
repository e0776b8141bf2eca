#pragma once

#include <sys/types.h>

#include <cstdint>

#include "launch/launch.h"

namespace callgate::launch {

// What Watch needs besides the plan; the process that runs it owns them.
struct WatchSetup {
  pid_t program = 0;  // seized with kSeizeOptions
  int socket = -1;    // to the process that is about to exec
  int signals = -1;   // signalfd(2) of SIGCHLD, non-blocking
};

// EXITKILL: a supervisor that dies before the filter is on takes the program with it.
inline constexpr std::uint32_t kSeizeOptions = kernel::kTraceExec | kernel::kExitKill;

class Reporter;

// The supervisor, from the moment it traces the program until nothing is left to do: puts the
// filters on at the exec stop, then answers notifications and explains deaths.
void Watch(kernel::Kernel& kernel, const LaunchPlan& plan, const WatchSetup& setup,
           Reporter& reporter);

}  // namespace callgate::launch
