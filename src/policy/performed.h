#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "abi/arch.h"

namespace callgate::policy {

// How the supervisor does what it has decided to allow. It does not trust the kernel to go on with
// a call it has looked into: the kernel reads the memory again, and another thread can have changed
// it. The calls it lets go on are those where what came of it can be looked at before it matters
// (supervise/perform_exec.cc, perform_move.cc).
enum class Performance : std::uint8_t {
  kNone,         // it cannot: the call can be refused after a look, not allowed
  kReopened,     // opens the file it has pinned, puts the descriptor into the caller's table
  kAtParent,     // the same call with the copied name at the directory it has pinned
  kOnFile,       // the same call on the file it has pinned
  kOnDuplicate,  // the same call on its own duplicate of the caller's descriptor
  kThere,        // the same call by a process in the caller's namespaces, on what that has pinned
  kWithCopies,   // the same call with the copies
  kOnTask,       // the same call for the thread it names
  kPinned,       // the caller makes it, and is held still until what was loaded was judged
  kHeld,         // the same, until where it has come to was judged
};

struct PerformedCall {
  std::string_view name;
  Performance how = Performance::kNone;
};

// What the supervisor performs, sorted by name. supervise/ has an implementation for each.
std::span<const PerformedCall> PerformedCalls();
Performance PerformanceOf(abi::ArchId arch, std::string_view call);
// Is the caller let make it, and judged again behind it?
bool CallerMakes(Performance how);
// execve and execveat, on every ABI.
bool StartsPrograms(std::string_view call);
// "opens the file it has pinned and hands the descriptor over"
std::string_view Describe(Performance how);

}  // namespace callgate::policy
