#pragma once

#include "bpf/program.h"
#include "launch/launch.h"

namespace callgate::launch {

// The program, with a prefix that refuses seccomp(SECCOMP_SET_MODE_FILTER, NEW_LISTENER) with EBUSY
// on x86_64, x32 and i386: what the kernel answers while our listener lives, and must go on to
// answer when it is dead (guard.cc). Adds kGuardInstructions. The rest sees the same call and the
// same zeroed registers.
inline constexpr std::size_t kGuardInstructions = 14;
bpf::Program WithListenerGuard(bpf::ProgramView program);

// Is there a way to make such a call under this policy? If not, no guard is needed.
bool MayMakeListener(const ExplainFunction& explain);

}  // namespace callgate::launch
