#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "kernel/kernel.h"

namespace callgate::kernel {

// One thing that this machine can do, cannot, or can in part.
struct Feature {
  enum class State : std::uint8_t { kWorks, kLimited, kMissing };

  std::string name = {};
  State state = State::kMissing;
  bool required = false;     // nothing can be enforced without it
  std::string detail = {};   // what was found
  std::string meaning = {};  // what it means for callgate; empty when it works
  std::string advice = {};   // what to do; may be empty
};

// Tries what callgate uses, now or for parts of a policy, with this process's rights. Starts short
// child processes; changes nothing. A few milliseconds.
std::vector<Feature> ProbeFeatures(Kernel& kernel);

}  // namespace callgate::kernel
