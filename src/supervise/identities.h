#pragma once

#include <sys/types.h>

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string_view>

#include "abi/call.h"
#include "base/unique_fd.h"
#include "kernel/kernel.h"
#include "supervise/identity.h"

namespace callgate::supervise {

// What no process under the policy can change of itself, because the policy lets no call through
// that would. All of them descend from the process that the supervisor was made by.
struct Fixed {
  bool groups = false;      // setgroups
  bool namespaces = false;  // unshare, setns
  bool root = false;        // chroot, pivot_root
  // What gives files other names (mount, chroot, …): the policy refuses it, or has a rule that says
  // what of it may be.
  bool names = false;
  // Where it does let such a call through, whoever lets it says so before (Identities::Tell).
  bool is_told = false;
};

// What a call can change of who calls, besides its ids and capabilities.
enum class Change : std::uint8_t {
  kNone,
  kSelf,  // its groups or its namespaces
  kRoot,  // the file-system root, its own and that of others
};
Change ChangeBy(std::string_view call);
Change ChangeBy(const abi::Call& call);

// Who the threads are that call. Several threads may ask.
class Identities {
 public:
  Identities(kernel::Kernel& kernel, Fixed fixed) : kernel_(kernel), fixed_(fixed) {}

  // Of the supervisor; read in its process, at the first call. nullptr: cannot be read.
  const Identity* Own();
  // As ReadIdentity, but asking for less where that is as good. The umask may be left unread.
  std::optional<Identity> Of(pid_t tid);
  // Some thread is about to make such a call; or one is about to go on under another's id.
  void Tell(Change change);

 private:
  struct Known {
    base::UniqueFd pidfd;  // of the very thread
    Namespaces namespaces;
    std::optional<std::vector<gid_t>> groups;  // nullopt: ours
    std::uint64_t changes = 0;                 // that were told before it was read
  };
  std::shared_ptr<const Known> Find(pid_t tid);
  std::shared_ptr<const Known> Meet(pid_t tid);
  void Remember(pid_t tid, std::shared_ptr<const Known> known);
  std::optional<kernel::ThreadInfo> Query(const std::shared_ptr<const Known>& known);
  std::optional<Identity> AskShortly(pid_t tid);

  kernel::Kernel& kernel_;
  const Fixed fixed_;
  std::once_flag once_;
  std::optional<Identity> own_;
  bool groups_are_ours_ = false;  // of every thread in our user namespace
  bool powerless_ = false;        // no thread of our user namespace has capabilities
  base::UniqueFd root_;           // ours
  std::atomic<std::uint64_t> changes_{0};
  std::atomic<bool> root_may_differ_{false};
  std::mutex mutex_;
  std::map<pid_t, std::shared_ptr<const Known>> known_;
  std::size_t room_ = 0;  // in known_, before those are looked for that are gone
};

}  // namespace callgate::supervise
