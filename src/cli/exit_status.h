#pragma once

namespace callgate::cli {

// Exit codes are part of the interface. Verbs that check or analyse use the first group; `run`
// passes the program's own status through and uses the second for what went wrong before there was
// a program.
enum ExitStatus : int {
  kHolds = 0,        // the policy is well formed; the statement holds
  kDoesNotHold = 1,  // it does not
  kBadInput = 2,     // usage or unreadable, ill-formed input
  kUndecided = 3,

  kOwnFailure = 125,
  kCannotExecute = 126,
  kNotFound = 127,
};

}  // namespace callgate::cli
