#pragma once

#include <functional>
#include <string>

#include "base/error.h"
#include "kernel/kernel.h"
#include "launch/launch.h"

namespace callgate::agent {

struct Setup {
  std::string socket;  // where runtimes connect
  std::string folder;  // of the policies, by listenerMetadata
  launch::ReportFormat format = launch::ReportFormat::kText;
  // Of the policy in that file. Called in a process of the container's own.
  std::function<base::Result<launch::Supervision>(const std::string& path)> supervise;
};

// Serves containers until SIGTERM or SIGINT comes, which is no failure: from then on their calls
// fail. The process must have one thread, no children and no use for the signals.
base::Result<void> Run(kernel::Kernel& kernel, const Setup& setup);

}  // namespace callgate::agent
