#pragma once

#include <cerrno>
#include <optional>
#include <string>

namespace callgate::supervise {

// What is said in place of an errno of the call, where it is the supervisor that cannot go on. No
// call that is prepared fails with them by itself.
//
// It cannot look at the caller; the caller is gone, or not ours to read.
inline constexpr int kCannotLook = ESRCH;
// The caller has another root than the supervisor, or other mounts, and what a policy would call
// its files is for itself to choose (Identity::must_have_our_root).
inline constexpr int kOtherRoot = EREMCHG;
// The caller points to more than is copied for it.
inline constexpr int kTooMuch = ELNRNG;
// A part of what the call can be asked for, or asked with, that is not performed.
inline constexpr int kNotPerformed = EBADRQC;
// The helper that prepared the call is gone.
inline constexpr int kHelperGone = EOWNERDEAD;

struct Refusal {
  int errno_value = 0;
  std::string reason;
};
// nullopt: it is an errno of the call, or 0.
std::optional<Refusal> RefusalOf(int failed);

}  // namespace callgate::supervise
