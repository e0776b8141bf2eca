// A thread has one call waiting at a time. While its notification waits, the entry under its id can
// only be about this call or an earlier one; so under the lock, an entry is written only while the
// notification waits, and taken back if it is answered by somebody else (the deadline) before it
// goes on. No slow thread can overwrite or remove the entry of a later call.

#include "supervise/starts.h"

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "abi/syscalls.h"
#include "fmt/format.h"
#include "policy/performed.h"
#include "supervise/identity.h"
#include "supervise/image.h"
#include "supervise/refusal.h"

namespace callgate::supervise {
namespace {

constexpr std::size_t kMaxRemembered = 4096;

const abi::Syscall* SyscallOf(const abi::Call& call) {
  auto arch = abi::ArchOfCall(call.arch, call.nr);
  return arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
}

}  // namespace

bool StartsProgram(const abi::Call& call) {
  const abi::Syscall* syscall = SyscallOf(call);
  return syscall != nullptr && policy::StartsPrograms(syscall->name);
}

bool IsLet(policy::PolicyAction action) {
  return action.verb == policy::Verb::kAllow || action.verb == policy::Verb::kContinueUnchecked;
}

bool IsLeft(policy::PolicyAction action) {
  return action.verb == policy::Verb::kNotify || action.verb == policy::Verb::kAsk;
}

void Starts::GoOn(kernel::Kernel& kernel, const Turn& turn, Then then, const Identity& caller,
                  std::vector<Facts> agreed) {
  std::lock_guard lock(mutex_);
  const kernel::Notification& notification = turn.notification;
  if (!kernel.IsPending(turn.listener, notification.id)) return;
  calls_.erase(notification.tid);
  if (then == Then::kJudge) {
    if (calls_.size() >= kMaxRemembered) {
      std::erase_if(calls_, [](const auto& entry) { return !ReadIdentity(entry.first); });
    }
    calls_.emplace(notification.tid, Start{.call = notification.call,
                                           .must_have_our_root = caller.must_have_our_root,
                                           .agreed = std::move(agreed)});
  }
  if (!kernel.ReplyContinueUnchecked(turn.listener, notification.id)) {
    calls_.erase(notification.tid);
  }
}

Outcome Starts::Judge(pid_t pid, pid_t former_tid, const DecideFunction& decide) {
  std::optional<Start> start;
  {
    std::lock_guard lock(mutex_);
    auto found = calls_.find(former_tid);
    if (found == calls_.end()) return {};
    start = std::move(found->second);
    calls_.erase(found);
  }
  const abi::Call& call = start->call;
  Outcome killed{.kind = Outcome::Kind::kKilled, .errno_value = EPERM};
  killed.call = {.nr = call.nr, .arch = call.arch, .ip = call.ip, .args = {}};
  auto image = Image::Of(pid, start->must_have_our_root);
  if (!image) {
    killed.reason = image.error() == kOtherRoot
                        ? RefusalOf(kOtherRoot)->reason
                        : "the supervisor has not the rights to look at what was loaded";
    return killed;
  }
  const abi::Syscall* syscall = SyscallOf(call);
  std::size_t path_slot = syscall != nullptr && syscall->name == "execveat" ? 1 : 0;
  bool unknown = false;
  auto look = [&](const policy::DeepSubject& subject) {
    auto value = image->Look(subject, path_slot + 1);
    unknown = unknown || !value;
    return value.value_or(policy::Absent{});
  };
  policy::PolicyAction action = decide(call, look);
  bool is_agreed = IsLeft(action) &&
                   std::ranges::find(start->agreed, FactsOf(call, look)) != start->agreed.end();
  if ((IsLet(action) || is_agreed) && !unknown) return {};
  killed.call.args[path_slot] = image->name_address();
  killed.reason =
      fmt::format("what was loaded is {}: killed before its first instruction", image->path());
  return killed;
}

}  // namespace callgate::supervise
