// /proc/TID/status tells all there is to know of a thread, and takes 6 us to be written, twice as
// long as a call takes to be notified and answered. Most of it cannot have changed:
//
//  - The namespaces of a thread change by unshare(2) and setns(2) of that thread alone, its
//    supplementary groups by setgroups(2). Its file-system root changes by these, chroot(2) and
//    pivot_root(2), also for others. Where the policy lets none of them through they are read once.
//    (CLONE_NEW… makes a new thread, which is read once too.)
//  - Where it does let them through, the filter stops the thread before the call, its tracer tells
//    (Tell), and what was read before that is read again. A thread cannot have a call decided while
//    it makes another one, so what is its alone is never read in between. A root is shared: once
//    somebody may have moved one, all are looked at for every call.
//  - When another thread of a process executes a program it takes over the first one's id, and is
//    told of. (Where nothing is told, all threads of a process have the same namespaces and
//    groups.)
//  - Without CAP_SETGID nobody changes groups: every thread in our user namespace then has ours; it
//    descends from the process that was to become the program, as we do, and no_new_privs keeps
//    exec from adding any.
//  - Ids and capabilities may change by exec alone. They are asked for at every call, by two system
//    calls of 0.3 us (PIDFD_GET_INFO, capget). The first fails if the thread that was met under
//    this id is gone, so that what is remembered never is another's. The second is not needed where
//    we were permitted no capability to begin with: no_new_privs keeps exec from adding any.
//
// Where something of this is not known to be so (an older kernel, a policy that has such a call
// logged or traced) the whole status is read. The umask is read for calls that make something.
//
// Rejected: to be notified of these calls. A signal that comes before the supervisor makes a
// notified call fail with EINTR, and few programs look; a stop for the tracer has no such end.

#include "supervise/identities.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <utility>

#include "abi/arch.h"
#include "abi/syscalls.h"

namespace callgate::supervise {
namespace {

constexpr std::uint64_t kCapSetGid = std::uint64_t{1} << CAP_SETGID;

struct Capabilities {
  std::uint64_t effective = 0;
  std::uint64_t permitted = 0;
};

std::optional<Capabilities> CapabilitiesOf(pid_t tid) {
  __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = tid};
  std::array<__user_cap_data_struct, 2> data{};
  if (syscall(SYS_capget, &header, data.data()) < 0) return std::nullopt;
  auto join = [](std::uint32_t low, std::uint32_t high) {
    return std::uint64_t{high} << 32U | low;
  };
  return Capabilities{.effective = join(data[0].effective, data[1].effective),
                      .permitted = join(data[0].permitted, data[1].permitted)};
}

}  // namespace

Change ChangeBy(std::string_view call) {
  if (call == "setgroups" || call == "setgroups32" || call == "unshare") return Change::kSelf;
  // Back in our mount namespace, setns starts at its root, which need not be ours.
  if (call == "chroot" || call == "pivot_root" || call == "setns") return Change::kRoot;
  return Change::kNone;
}

Change ChangeBy(const abi::Call& call) {
  auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  return syscall == nullptr ? Change::kNone : ChangeBy(syscall->name);
}

void Identities::Tell(Change change) {
  if (change == Change::kNone) return;
  if (change == Change::kRoot) root_may_differ_ = true;
  ++changes_;
}

const Identity* Identities::Own() {
  std::call_once(once_, [this] {
    own_ = ReadIdentity(gettid());
    root_.Reset(open("/", O_PATH | O_CLOEXEC));
    auto capabilities = CapabilitiesOf(0);
    groups_are_ours_ =
        fixed_.groups || (capabilities && (capabilities->permitted & kCapSetGid) == 0);
    powerless_ = capabilities && capabilities->permitted == 0;
  });
  return own_ ? &*own_ : nullptr;
}

std::shared_ptr<const Identities::Known> Identities::Find(pid_t tid) {
  std::lock_guard lock(mutex_);
  auto found = known_.find(tid);
  return found == known_.end() ? nullptr : found->second;
}

std::shared_ptr<const Identities::Known> Identities::Meet(pid_t tid) {
  auto known = std::make_shared<Known>();
  known->changes = changes_;
  auto pidfd = kernel_.OpenThreadPidfd(tid);
  auto namespaces = ReadNamespaces(tid);
  if (!pidfd || !namespaces) return nullptr;
  known->pidfd = std::move(*pidfd);
  known->namespaces = *namespaces;
  if (!groups_are_ours_ || namespaces->user != own_->credentials.user_namespace) {
    auto status = ReadStatus(tid);
    if (!status) return nullptr;
    known->groups = std::move(status->credentials.groups);
  }
  // Still there: then it was there while all that was read under its number.
  auto info = Query(known);
  if (!info || info->tid != tid) return nullptr;
  Remember(tid, known);
  return known;
}

// Each holds a descriptor, and whoever is gone needs none.
void Identities::Remember(pid_t tid, std::shared_ptr<const Known> known) {
  constexpr std::size_t kFew = 4;
  constexpr std::size_t kMany = 256;
  std::lock_guard lock(mutex_);
  if (known_.size() >= room_) {
    std::erase_if(known_, [this](const auto& entry) { return !Query(entry.second); });
    if (known_.size() >= kMany) known_.clear();
    room_ = std::clamp(2 * known_.size(), kFew, kMany);
  }
  known_.insert_or_assign(tid, std::move(known));
}

std::optional<kernel::ThreadInfo> Identities::Query(const std::shared_ptr<const Known>& known) {
  if (known == nullptr || known->changes != changes_) return std::nullopt;
  auto info = kernel_.QueryThread(known->pidfd.get());
  if (!info) return std::nullopt;
  return *info;
}

std::optional<Identity> Identities::AskShortly(pid_t tid) {
  std::shared_ptr<const Known> known = Find(tid);
  std::optional<kernel::ThreadInfo> info = Query(known);
  if (!info) {  // never met, changed, or gone since
    known = Meet(tid);
    info = Query(known);
  }
  if (!info || info->tid != tid) return std::nullopt;
  const bool is_ours = known->namespaces.user == own_->credentials.user_namespace;
  // In a namespace of its own it may change its groups whatever we may.
  if (!is_ours && !fixed_.is_told) return std::nullopt;
  auto capabilities = powerless_ && is_ours ? Capabilities{} : CapabilitiesOf(tid);
  if (!capabilities) return std::nullopt;
  Identity identity;
  identity.tgid = info->tgid;
  identity.pid_namespace = known->namespaces.pid;
  identity.mount_namespace = known->namespaces.mount;
  const bool root_is_known =
      (fixed_.root && fixed_.namespaces) || (fixed_.is_told && !root_may_differ_);
  if (root_is_known && known->namespaces.mount == own_->mount_namespace) {
    identity.our_root = root_.get();
  }
  identity.credentials = {.uids = info->uids,
                          .gids = info->gids,
                          .groups = known->groups ? *known->groups : own_->credentials.groups,
                          .effective_capabilities = capabilities->effective,
                          .user_namespace = known->namespaces.user};
  return identity;
}

std::optional<Identity> Identities::Of(pid_t tid) {
  if (Own() == nullptr) return std::nullopt;
  std::optional<Identity> identity;
  const bool is_remembered = fixed_.is_told || (fixed_.namespaces && groups_are_ours_);
  if (is_remembered) identity = AskShortly(tid);
  return identity ? identity : ReadIdentity(tid);
}

}  // namespace callgate::supervise
