#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "abi/arch.h"
#include "abi/call.h"
#include "abi/syscalls.h"
#include "base/error.h"
#include "policy/typed.h"

namespace callgate::policy {

// Calls as people write them: openat(AT_FDCWD, 0x7ffc1000, O_RDONLY|O_CLOEXEC).

// One argument as a reader counts them: the two registers of a joined pair are one, alignment holes
// are none.
struct ArgumentText {
  std::string name;  // "flags"; "arg0" where the tables know no better
  std::string text;  // "O_RDONLY|O_CLOEXEC"
  abi::ArgKind kind = abi::ArgKind::kInteger;
  std::uint8_t slot = 0;  // its register; of a pair the low half's
};

// Decoded by the tables; registers the kernel ignores are left out. All six, in hexadecimal, for a
// call the tables do not know.
std::vector<ArgumentText> FormatArguments(const abi::Call& call);
// With the ABI in front unless it is `home`: "i386.open(…)". An unknown number: "syscall_467(…)".
std::string FormatCall(const abi::Call& call, abi::ArchId home);

// As a witness: registers with bits set that the kernel ignores are written whole, and what it
// makes of them is said: "socket(0x100000028, 0, IPPROTO_IP), to the kernel socket(AF_VSOCK, 0,
// IPPROTO_IP)". The extension of a sign is no such bit.
std::string FormatWitness(const abi::Call& call, abi::ArchId home);

// A call with holes.
struct CallPattern {
  abi::ArchId arch{};
  abi::Call call;  // holes are 0
  std::array<bool, 6> is_any{};
};

// "openat(AT_FDCWD, *, O_RDONLY)", "i386.socketcall(1, *)", "read". Arguments in order or by name
// (`fd=3`), as numbers, constants or dev(1,3); `*` and what is missing is any value, and so is text
// in quotes, because a filter sees only its address. `home` is the ABI of a call that names none.
base::Result<CallPattern> ParseCall(std::string_view text, abi::ArchId home);
// As it was meant: "openat(AT_FDCWD, *, O_RDONLY, *)".
std::string FormatPattern(const CallPattern& pattern, abi::ArchId home);

// What a policy says about a call with holes: one witness for each different verdict (action, and
// clause or reason), most permissive first.
struct PatternVerdicts {
  struct Case {
    abi::Call call;
    Verdict verdict;
  };
  std::vector<Case> cases;            // one: the holes do not matter
  std::vector<std::string> deciding;  // arguments with holes that the call's rule looks at
  // False: masks or many holes made the search a sample, so another verdict may exist.
  bool is_exhaustive = true;
};
PatternVerdicts JudgePattern(const TypedPolicy& policy, const CallPattern& pattern);

}  // namespace callgate::policy
