#pragma once

#include "base/error.h"
#include "kernel/kernel.h"
#include "launch/launch.h"
#include "launch/report.h"

namespace callgate::agent {

// Answers the calls of a container until nobody is left under the listener's filter; nobody is
// traced. To be called once in a process, which is to end after it. Fails if it cannot begin.
base::Result<void> Serve(kernel::Kernel& kernel, const launch::Supervision& supervision,
                         int listener, launch::Reporter& reporter);

}  // namespace callgate::agent
