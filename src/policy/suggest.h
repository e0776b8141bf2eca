#pragma once

#include <string>

#include "abi/call.h"
#include "base/source.h"
#include "policy/typed.h"

namespace callgate::policy {

// What to write into a policy so that a call it denies is allowed, and no more than needed.
struct Suggestion {
  // A whole line: "fdatasync"; for a call that has a rule, the clause to add in place of the "…":
  // "ioctl: …; cmd == TIOCGWINSZ". Empty where no line of the policy helps, or the call is allowed.
  std::string line;
  // Where it comes from, without the comment sign: "@sync: fsync fdatasync sync_file_range", or the
  // test that failed: "fd in {1, 2} fails: fd is 3". May be empty.
  std::string note;
};

// `verdict` is Judge's for this call and policy; `sources` holds the policy's text.
Suggestion Suggest(const TypedPolicy& policy, const abi::Call& call, const Verdict& verdict,
                   const base::SourceMap& sources);

// The clause alone: tests that hold for this call's values of everything its rule looks at:
// "cmd == TIOCGWINSZ". "1" if the rule looks at nothing.
std::string ClauseAllowing(const Rule& rule, abi::ArchId arch, const abi::Call& call);

}  // namespace callgate::policy
