#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace callgate::base {

// An operation failed. Speaks to the person who can act: what was tried, on what, why it failed,
// what to do. (The other family, Diagnostic, says that the user's text is wrong.)
struct Error {
  std::string operation;  // "open", "install filter"
  std::string subject;    // "app.cg", "4212 instructions"; may be empty
  int errno_value = 0;    // errno(3) value, 0 where no system call failed
  std::string reason;     // used when errno_value is 0 or says too little
  std::string advice;     // what to do; may be empty

  // "cannot open app.cg: No such file or directory; <advice>"
  std::string ToString() const;

  bool operator==(const Error&) const = default;
};

// An Error for a system call that just failed; reads `errno`.
Error ErrnoError(std::string_view operation, std::string_view subject);
Error ErrnoError(std::string_view operation, std::string_view subject, int errno_value);

template <typename T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> Fail(Error error) { return std::unexpected(std::move(error)); }

}  // namespace callgate::base
