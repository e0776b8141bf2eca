#pragma once

#include <expected>
#include <string>

namespace callgate {

// An operation failed. `message` is one line for a person: what was tried, on what, why it failed,
// what to do.
struct Error {
  std::string message;
  int errno_value = 0;  // errno(3) value of the system call behind it, 0 where there is none
};

template <typename T>
using Result = std::expected<T, Error>;

}  // namespace callgate
