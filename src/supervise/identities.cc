// /proc/TID/status tells all there is to know of a thread, and takes 6 us to be written, twice as
// long as a call takes to be notified and answered. Most of it cannot have changed:
//
//  - The namespaces of a thread change by unshare(2) and setns(2) of that thread alone, and its
//    file-system root by these, chroot(2) and pivot_root(2). Where the policy lets none of them
//    through they are read once. (CLONE_NEW… makes a new thread, which is read once too. When
//    another thread of a process executes a program it takes over the first one's id; all threads
//    of a process have the same user and pid namespace, for unshare and setns of those are refused
//    to a process with several.)
//  - Supplementary groups change by setgroups(2). Where the policy does not let it through, or no
//    process ever had CAP_SETGID, every thread in our user namespace has our groups: it descends
//    from the process that was to become the program, as we do, and no_new_privs keeps exec from
//    adding any.
//  - Ids and capabilities may change by exec alone. They are asked for at every call, by two system
//    calls of 0.3 us (PIDFD_GET_INFO, capget). The first fails if the thread that was met under
//    this id is gone, so that what is remembered never is another's. The second is not needed where
//    we were permitted no capability to begin with: no_new_privs keeps exec from adding any.
//
// Where something of this is not known to be so (an older kernel, another user namespace, a policy
// that lets these calls through) the whole status is read. The umask is read for calls that make
// something.
//
// Rejected: to be notified of setuid(2) and its like, and remember everything. A signal that comes
// before the supervisor makes such a call fail with EINTR, and few programs look.

#include "supervise/identities.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <utility>

namespace callgate::supervise {
namespace {

constexpr std::size_t kMaxKnown = 256;  // each holds a descriptor
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
  auto pidfd = kernel_.OpenThreadPidfd(tid);
  if (!pidfd) return nullptr;
  auto namespaces = ReadNamespaces(tid);
  // Still there: then it was there while its namespaces were read under its number.
  auto known = std::make_shared<const Known>(std::move(*pidfd), namespaces.value_or(Namespaces{}));
  auto info = Query(known);
  if (!namespaces || !info || info->tid != tid) return nullptr;
  std::lock_guard lock(mutex_);
  if (known_.size() >= kMaxKnown) known_.clear();
  known_[tid] = known;
  return known;
}

std::optional<kernel::ThreadInfo> Identities::Query(const std::shared_ptr<const Known>& known) {
  if (known == nullptr) return std::nullopt;
  auto info = kernel_.QueryThread(known->pidfd.get());
  if (!info) return std::nullopt;
  return *info;
}

std::optional<Identity> Identities::AskShortly(pid_t tid) {
  if (!fixed_.namespaces) return std::nullopt;
  std::shared_ptr<const Known> known = Find(tid);
  std::optional<kernel::ThreadInfo> info = Query(known);
  if (!info) {  // never met, or gone since
    known = Meet(tid);
    info = Query(known);
  }
  auto capabilities = powerless_ ? Capabilities{} : CapabilitiesOf(tid);
  if (!info || info->tid != tid || !capabilities) return std::nullopt;
  if (known->namespaces.user != own_->credentials.user_namespace) return std::nullopt;
  Identity identity;
  identity.tgid = info->tgid;
  identity.pid_namespace = known->namespaces.pid;
  identity.mount_namespace = known->namespaces.mount;
  if (fixed_.root && known->namespaces.mount == own_->mount_namespace) {
    identity.our_root = root_.get();
  }
  identity.credentials = {.uids = info->uids,
                          .gids = info->gids,
                          .groups = own_->credentials.groups,
                          .effective_capabilities = capabilities->effective,
                          .user_namespace = known->namespaces.user};
  return identity;
}

std::optional<Identity> Identities::Of(pid_t tid) {
  if (Own() == nullptr) return std::nullopt;
  std::optional<Identity> identity;
  if (groups_are_ours_) identity = AskShortly(tid);
  return identity ? identity : ReadIdentity(tid);
}

}  // namespace callgate::supervise
