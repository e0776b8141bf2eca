// The C library's functions change all threads of a process; the system calls change the one that
// makes them (nptl(7)), and that is what is wanted here.

#include "supervise/borrow.h"

#include <linux/capability.h>
#include <sched.h>
#include <sys/fsuid.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/check.h"

namespace callgate::supervise {
namespace {

constexpr auto kKeep = static_cast<uid_t>(-1);

// Of the calling thread.
struct Capabilities {
  std::array<__user_cap_data_struct, 2> data{};

  bool Read() {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    return syscall(SYS_capget, &header, data.data()) == 0;
  }
  bool Set(std::uint64_t effective) {
    __user_cap_header_struct header{.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    data[0].effective = static_cast<std::uint32_t>(effective);
    data[1].effective = static_cast<std::uint32_t>(effective >> 32U);
    return syscall(SYS_capset, &header, data.data()) == 0;
  }
  std::uint64_t effective() const { return Joined(data[0].effective, data[1].effective); }
  std::uint64_t permitted() const { return Joined(data[0].permitted, data[1].permitted); }
  static std::uint64_t Joined(std::uint32_t low, std::uint32_t high) {
    return low | std::uint64_t{high} << 32U;
  }
};

bool SetEffectiveCapabilities(std::uint64_t effective) {
  Capabilities own;
  return own.Read() && own.Set(effective);
}

bool SetIds(uid_t euid, gid_t egid, const std::vector<gid_t>& groups) {
  return syscall(SYS_setgroups, groups.size(), groups.data()) == 0 &&
         syscall(SYS_setresgid, kKeep, egid, kKeep) == 0 &&
         syscall(SYS_setresuid, kKeep, euid, kKeep) == 0;
}

bool SetFileIds(uid_t fsuid, gid_t fsgid) {
  syscall(SYS_setfsgid, fsgid);
  syscall(SYS_setfsuid, fsuid);
  // They report the old id, never a failure: ask with an id nobody has.
  return syscall(SYS_setfsgid, kKeep) == fsgid && syscall(SYS_setfsuid, kKeep) == fsuid;
}

}  // namespace

int BorrowedIdentity::Borrow(const Credentials& target) {
  if (target.user_namespace != own_.user_namespace) return EXDEV;
  changed_ = true;
  // Where they are the same nothing is set: some user namespaces allow no setgroups(2) at all.
  changes_ids_ = target.uids[1] != own_.uids[1] || target.gids[1] != own_.gids[1] ||
                 target.groups != own_.groups;
  if (changes_ids_ && !SetIds(target.uids[1], target.gids[1], target.groups)) return EPERM;
  if (!SetFileIds(target.uids[3], target.gids[3])) return EPERM;
  if (!SetEffectiveCapabilities(target.effective_capabilities)) return EPERM;
  return 0;
}

AddedCapabilities::AddedCapabilities(std::uint64_t added) {
  Capabilities own;
  if (!own.Read()) return;
  before_ = own.effective();
  std::uint64_t wanted = before_ | (added & own.permitted());
  has_all_ = (wanted & added) == added;
  if (wanted == before_) return;
  changed_ = true;
  has_all_ = own.Set(wanted) && has_all_;
}

AddedCapabilities::~AddedCapabilities() {
  if (changed_) CG_CHECK(SetEffectiveCapabilities(before_));
}

bool BecomeForGood(const Credentials& own, const Credentials& target) {
  if (own.uids != target.uids || own.gids != target.gids || own.groups != target.groups) {
    // The capabilities stay permitted when no id is root's any more.
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 ||
        syscall(SYS_setgroups, target.groups.size(), target.groups.data()) < 0 ||
        syscall(SYS_setresgid, target.gids[0], target.gids[1], target.gids[2]) < 0 ||
        syscall(SYS_setresuid, target.uids[0], target.uids[1], target.uids[2]) < 0) {
      return false;
    }
  }
  Capabilities capabilities;
  return capabilities.Read() && capabilities.Set(capabilities.permitted()) &&
         SetFileIds(target.uids[3], target.gids[3]) && capabilities.Read() &&
         capabilities.Set(capabilities.permitted());
}

Credentials Lent(const Credentials& own, const Credentials& caller) {
  Credentials lent = own;
  lent.uids[3] = caller.uids[3];
  lent.gids[3] = caller.gids[3];
  lent.groups = caller.groups;
  return lent;
}

bool HasOwnPlaces() {
  thread_local const bool own = unshare(CLONE_FS) == 0;
  return own;
}

bool ActByRealIds(const Credentials& target) {
  // Capabilities count for root alone (fs/open.c, access_override_creds).
  std::uint64_t capabilities = target.uids[0] == 0 ? target.effective_capabilities : 0;
  return SetFileIds(target.uids[0], target.gids[0]) && SetEffectiveCapabilities(capabilities);
}

BorrowedIdentity::BorrowedIdentity(const Credentials& own, const Credentials& target) : own_(own) {
  if (own == target) return;
  error_ = Borrow(target);
}

BorrowedIdentity::~BorrowedIdentity() {
  if (!changed_) return;
  // The user first: it brings back the capabilities that the rest needs.
  bool user = !changes_ids_ || syscall(SYS_setresuid, kKeep, own_.uids[1], kKeep) == 0;
  bool capable = SetEffectiveCapabilities(own_.effective_capabilities);
  bool rest = !changes_ids_ || SetIds(own_.uids[1], own_.gids[1], own_.groups) ||
              own_.effective_capabilities == 0;
  CG_CHECK(user && capable && rest && SetFileIds(own_.uids[3], own_.gids[3]));
}

}  // namespace callgate::supervise
