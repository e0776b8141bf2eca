#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "base/unique_fd.h"
#include "kernel/kernel.h"
#include "supervise/inputs.h"

namespace callgate::supervise {

// What a performed call gives its caller.
struct Reply {
  int errno_value = 0;                 // not 0: the call fails with it
  std::int64_t value = 0;              // else its result, unless there is
  base::UniqueFd descriptor;           // one to put into the caller's table
  std::uint32_t descriptor_flags = 0;  // O_CLOEXEC or 0

  static Reply Error(int errno_value) { return {.errno_value = errno_value, .descriptor = {}}; }
  static Reply Value(std::int64_t value) { return {.value = value, .descriptor = {}}; }
  static Reply Descriptor(base::UniqueFd fd, std::uint32_t flags) {
    return {.descriptor = std::move(fd), .descriptor_flags = flags};
  }
};

// What a family needs to know besides the copies.
struct Surroundings {
  const Identity& identity;  // of the calling thread
  bool same_pid_namespace = true;
  bool is_borrowed = false;  // this thread acts as somebody else than the supervisor's user
};

// One call that the supervisor may perform. Prepare copies and pins all it acts on, decides nothing
// and changes nothing; the policy is asked between the two; Perform acts on what was pinned. Both
// run in a thread that acts as the target (borrow.h), in a file-system context of its own.
class Performer {
 public:
  virtual ~Performer() = default;

  // 0, or the errno that the kernel gives the call before it does anything (EFAULT, EINVAL).
  virtual int Prepare(Inputs& inputs, const Surroundings& around) = 0;
  // May performing take as long as somebody likes? (A FIFO without a writer.)
  virtual bool MayBlock() const { return false; }
  // Where the caller gets more than it asked for: the call that would ask for that. The policy must
  // allow it too.
  virtual std::optional<abi::Call> GivesAsMuchAs(const abi::Call&) const { return std::nullopt; }
  virtual Reply Perform(Inputs& inputs, const Surroundings& around) = 0;
};

// nullptr: this call is not performed (policy/performed.h says which are).
std::unique_ptr<Performer> PerformerOf(std::string_view call);

// One a family, each in the file of its name.
std::unique_ptr<Performer> MakeOpenPerformer(std::string_view call);
std::unique_ptr<Performer> MakeParentPerformer(std::string_view call);
std::unique_ptr<Performer> MakeFilePerformer(std::string_view call);
std::unique_ptr<Performer> MakeSocketPerformer(std::string_view call);
std::unique_ptr<Performer> MakeTellPerformer(std::string_view call);

}  // namespace callgate::supervise
