#pragma once

#include <functional>
#include <string_view>

#include "launch/launch.h"
#include "launch/report.h"
#include "supervise/deciders.h"

namespace callgate::launch {

// What is done with the calls that wait on the listener: decided, reported, answered. `fail` is
// told when the listener is broken. All arguments must outlive the callbacks.
supervise::Deciders::Callbacks AnswerAndReport(
    kernel::Kernel& kernel, const Supervision& supervision, int listener, Reporter& reporter,
    std::function<void(std::string_view operation, int errno_value)> fail);

}  // namespace callgate::launch
