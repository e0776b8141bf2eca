#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "base/error.h"
#include "base/unique_fd.h"

namespace callgate::agent {

// How long a runtime may take to say all. It has it at hand.
inline constexpr std::chrono::seconds kToDeliver{10};

// All that came over one connection.
struct Delivery {
  std::string state;
  std::vector<base::UniqueFd> descriptors;

  // The runtime has failed before it had anything to say.
  bool is_empty() const { return state.empty() && descriptors.empty(); }
};

// Reads the stream socket to the end of the JSON text, or to its own. Fails if neither comes in
// time, on more than kMaxState bytes, and where descriptors were lost.
base::Result<Delivery> Receive(int connection, std::chrono::milliseconds patience = kToDeliver);

}  // namespace callgate::agent
