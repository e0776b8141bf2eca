#pragma once

#include <sys/types.h>

#include <algorithm>
#include <cerrno>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/unique_fd.h"
#include "kernel/kernel.h"
#include "policy/typed.h"
#include "supervise/inputs.h"

namespace callgate::supervise {

// What a performed call gives its caller.
struct Reply {
  int errno_value = 0;                 // not 0: the call fails with it
  int signal = 0;                      // not 0: the caller gets it before the call returns
  std::int64_t value = 0;              // else its result, unless there is
  base::UniqueFd descriptor;           // one to put into the caller's table
  std::uint32_t descriptor_flags = 0;  // O_CLOEXEC or 0
  // What was presumed does not hold: nothing is given to the caller, all is to be looked at.
  bool looks_again = false;
  // To be written into the caller's memory before the call returns its value; EFAULT else.
  struct Output {
    std::uint64_t address = 0;
    std::vector<std::byte> bytes;
  };
  std::vector<Output> outputs = {};

  static Reply Error(int error) {
    Reply reply;
    reply.errno_value = error;
    return reply;
  }
  static Reply Signal(int signal, int error) {
    Reply reply = Error(error);
    reply.signal = signal;
    return reply;
  }
  static Reply LooksAgain() {
    Reply reply;
    reply.looks_again = true;
    return reply;
  }
  static Reply Value(std::int64_t result) {
    Reply reply;
    reply.value = result;
    return reply;
  }
  static Reply Told(std::int64_t result, std::uint64_t address, std::span<const std::byte> bytes) {
    Reply reply = Value(result);
    reply.AddOutput(address, bytes);
    return reply;
  }
  void AddOutput(std::uint64_t address, std::span<const std::byte> bytes) {
    outputs.push_back({address, {bytes.begin(), bytes.end()}});
  }
  static Reply Descriptor(base::UniqueFd fd, std::uint32_t flags) {
    Reply reply;
    reply.descriptor = std::move(fd);
    reply.descriptor_flags = flags;
    return reply;
  }
};

// Which of a caller's namespaces its call is about.
enum class Scope : std::uint8_t {
  kUser,  // in which its capabilities count
  kIds,   // the same; and all of its ids are needed, not only those that act on files
  kAll,   // mounts, host names, … too
};

// Who makes an allowed call.
enum class Maker : std::uint8_t {
  kSupervisor,
  kUntilLoaded,    // the caller: what it has loaded is judged (perform_exec.cc)
  kUntilReturned,  // the caller: where it has come to is judged (perform_move.cc)
};

// What a family needs to know besides the copies.
struct Surroundings {
  const Identity& identity;  // of the calling thread
  bool same_pid_namespace = true;
  bool is_borrowed = false;   // this thread acts as somebody else than the supervisor's user
  bool is_elsewhere = false;  // this process has its rights in the caller's user namespace alone
  bool may_presume = false;   // see Performer::Presume
  // To be asked before what may take as long as somebody likes; false: it must not (deciders.h).
  std::function<bool()> may_wait = [] { return false; };
};

// Something a call amounts to besides what it says; the policy must allow it too.
struct Further {
  policy::LookFunction look;
  std::string reason;  // why the call is refused, if this is
};

// One call that the supervisor may perform. Prepare copies and pins all it acts on, decides nothing
// and changes nothing; the policy is asked between the two; Perform acts on what was pinned, in a
// thread that acts as the target (borrow.h), has a file-system context of its own and no right to
// the target's memory.
class Performer {
 public:
  virtual ~Performer() = default;

  // 0, or the errno that the kernel gives the call before it does anything (EFAULT, EINVAL).
  virtual int Prepare(Inputs& inputs, const Surroundings& around) = 0;
  // Prepares the call only by what it says, which Perform finds to be so or not
  // (Reply::LooksAgain), and looks at nothing but memory. False: it has to be prepared otherwise.
  // Not for calls that amount to something besides.
  virtual bool Presume(Inputs&, const Surroundings&) { return false; }
  // Has it been prepared so? Then nothing but "allow" may follow from it, and all else is decided
  // after another Prepare, which may not presume.
  virtual bool Presumes() const { return false; }
  // May performing take as long as somebody likes? (A FIFO without a writer.)
  virtual bool MayBlock() const { return false; }
  // Where the caller gets more than it asked for: the call that would ask for that. The policy must
  // allow it too.
  virtual std::optional<abi::Call> GivesAsMuchAs(const abi::Call&) const { return std::nullopt; }
  // Is there nothing that could be refused? Then a refusal is not worth a report.
  virtual bool IsAboutNothing(Inputs&) const { return false; }
  // Asked after the policy has allowed the call by what it says.
  virtual std::vector<Further> AmountsTo(Inputs&, const Surroundings&) { return {}; }
  virtual Maker MadeBy() const { return Maker::kSupervisor; }
  // Which of the caller's namespaces whoever performs must be in.
  virtual Scope ScopeOf() const { return Scope::kUser; }
  // Must the umask and the tracer in `around` be known? They take the longest to read.
  virtual bool NeedsStatus() const { return true; }
  // Does Perform change nothing that anybody could see, but what its reply gives the caller? Then
  // it does no harm if the caller is gone by then, for which an answer has no taker.
  virtual bool OnlyReplies() const { return false; }
  // Not for those that the caller makes.
  virtual Reply Perform(Inputs&, const Surroundings&) { return Reply::Error(EPERM); }
};

// nullptr: this call is not performed (policy/performed.h says which are).
std::unique_ptr<Performer> PerformerOf(std::string_view call);
// The same for a call of that ABI.
std::unique_ptr<Performer> PerformerOf(const abi::Call& call);

// For a family with a row for each of its calls: a performer that is made with the row. nullptr:
// the call is none of them.
template <typename Family, typename Rows>
std::unique_ptr<Performer> MakeByRow(const Rows& rows, std::string_view call) {
  const auto* row = std::ranges::find(rows, call, &Rows::value_type::call);
  if (row == rows.end()) return nullptr;
  return std::make_unique<Family>(*row);
}

// One a family, each in the file of its name.
std::unique_ptr<Performer> MakeOpenPerformer(std::string_view call);
std::unique_ptr<Performer> MakeParentPerformer(std::string_view call);
std::unique_ptr<Performer> MakeFilePerformer(std::string_view call);
std::unique_ptr<Performer> MakeSocketPerformer(std::string_view call);
std::unique_ptr<Performer> MakeAcceptPerformer(std::string_view call);
std::unique_ptr<Performer> MakeSendPerformer(std::string_view call);
std::unique_ptr<Performer> MakeTellPerformer(std::string_view call);
std::unique_ptr<Performer> MakeEventPerformer(std::string_view call);
std::unique_ptr<Performer> MakeBpfPerformer(std::string_view call);
std::unique_ptr<Performer> MakeModulePerformer(std::string_view call);
std::unique_ptr<Performer> MakeExecPerformer(std::string_view call);
std::unique_ptr<Performer> MakeMovePerformer(std::string_view call);
std::unique_ptr<Performer> MakeMountPerformer(std::string_view call);
std::unique_ptr<Performer> MakeTaskPerformer(std::string_view call);

}  // namespace callgate::supervise
