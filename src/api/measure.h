#pragma once

#include "base/error.h"
#include "bpf/program.h"

namespace callgate {

// How long seccomp(2) takes for this filter here and now: the median over a few children, in
// microseconds. Fails where a filter cannot be installed.
base::Result<double> MeasureInstall(bpf::ProgramView program);

}  // namespace callgate
