#pragma once

namespace callgate::supervise {

// Raises what a program's limits, which the supervisor has too, must not keep it from.
void RaiseOwnLimits();

}  // namespace callgate::supervise
