// As in starts.cc, an entry is written under the lock while its notification waits, and taken back
// only under its own notification's id: no slow thread can overwrite or remove the entry of a later
// call. A thread that waits for its answer cannot stop, so the first stop behind the entry is
// behind the call.

#include "supervise/moves.h"

#include <fcntl.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "abi/syscalls.h"
#include "fmt/format.h"
#include "supervise/inputs.h"
#include "supervise/refusal.h"
#include "supervise/resolve.h"
#include "supervise/starts.h"

namespace callgate::supervise {
namespace {

constexpr std::size_t kMaxRemembered = 256;  // each holds two descriptors

base::UniqueFd OpenPlace(pid_t tid, std::string_view link) {
  return base::UniqueFd(
      open(fmt::format("/proc/{}/{}", tid, link).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
}

bool IsGone(kernel::Kernel& kernel, int pidfd) {
  auto there = kernel.SignalProcess(pidfd, 0);
  return !there && there.error() == ESRCH;
}

bool ChangesRoot(const abi::Call& call) {
  auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  return syscall != nullptr && syscall->name == "chroot";
}

}  // namespace

void Moves::Forget(pid_t tid, std::uint64_t id) {
  std::lock_guard lock(mutex_);
  auto found = moves_.find(tid);
  if (found != moves_.end() && found->second.id == id) moves_.erase(found);
}

std::optional<std::string> Moves::GoOn(kernel::Kernel& kernel, const Turn& turn,
                                       const Identity& caller, std::vector<Facts> agreed) {
  const kernel::Notification& notification = turn.notification;
  if (caller.threads != 1) {
    return "the caller's process has several threads, and any of them could use the directory "
           "before it is judged";
  }
  auto pidfd = kernel.OpenPidfd(notification.tid);
  base::UniqueFd root = OpenPlace(notification.tid, "root");
  if (!pidfd || !root.valid()) return RefusalOf(kCannotLook)->reason;
  if (caller.must_have_our_root && !IsOurRoot(root.get())) return RefusalOf(kOtherRoot)->reason;
  {
    std::lock_guard lock(mutex_);
    if (!kernel.IsPending(turn.listener, notification.id)) return std::nullopt;
    if (moves_.size() >= kMaxRemembered) {
      std::erase_if(moves_,
                    [&](const auto& entry) { return IsGone(kernel, entry.second.pidfd.get()); });
    }
    moves_.insert_or_assign(notification.tid, Move{.call = notification.call,
                                                   .id = notification.id,
                                                   .pidfd = std::move(*pidfd),
                                                   .root = std::move(root),
                                                   .agreed = std::move(agreed)});
  }
  if (!turn.hold(notification.tid)) {
    Forget(notification.tid, notification.id);
    return "the caller cannot be stopped behind the call, so where it comes to could not be judged";
  }
  if (!kernel.ReplyContinueUnchecked(turn.listener, notification.id)) {
    Forget(notification.tid, notification.id);
  }
  return std::nullopt;
}

Outcome Moves::Judge(kernel::Kernel& kernel, pid_t tid, const DecideFunction& decide) {
  std::optional<Move> move;
  {
    std::lock_guard lock(mutex_);
    auto found = moves_.find(tid);
    if (found == moves_.end()) return {};
    move = std::move(found->second);
    moves_.erase(found);
  }
  if (IsGone(kernel, move->pidfd.get())) return {};
  auto registers = kernel.GetRegisters(tid);
  if (!registers) return {};  // killed: it runs no more
  if (kernel::ResultOf(*registers, /*is_32bit=*/false) != 0) return {};
  Outcome killed{.kind = Outcome::Kind::kKilled, .errno_value = EPERM, .call = move->call};
  base::UniqueFd place = OpenPlace(tid, ChangesRoot(move->call) ? "root" : "cwd");
  auto name = place.valid() ? NameInRoot(move->root.get(), place.get())
                            : std::expected<std::string, int>(std::unexpected(ESRCH));
  if (!name) {
    killed.reason = "the supervisor has not the rights to look where the caller has come to";
    return killed;
  }
  bool unknown = false;
  auto look = [&](const policy::DeepSubject& subject) -> policy::DeepValue {
    using Kind = policy::DeepSubject::Kind;
    if (subject.kind == Kind::kPath || subject.kind == Kind::kDescriptor) return *name;
    if (subject.kind == Kind::kFileType) return std::string("directory");
    unknown = true;
    return policy::Absent{};
  };
  policy::PolicyAction action = decide(move->call, look);
  bool is_agreed = IsLeft(action) &&
                   std::ranges::find(move->agreed, FactsOf(move->call, look)) != move->agreed.end();
  if ((IsLet(action) || is_agreed) && !unknown) return {};
  killed.reason = fmt::format("it has come to {}: killed before its next instruction", *name);
  return killed;
}

}  // namespace callgate::supervise
