#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <optional>

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
};

// Who the threads are that call. Several threads may ask.
class Identities {
 public:
  Identities(kernel::Kernel& kernel, Fixed fixed) : kernel_(kernel), fixed_(fixed) {}

  // Of the supervisor; read in its process, at the first call. nullptr: cannot be read.
  const Identity* Own();
  // As ReadIdentity, but asking for less where that is as good. The umask may be left unread.
  std::optional<Identity> Of(pid_t tid);

 private:
  struct Known {
    base::UniqueFd pidfd;  // of the very thread
    Namespaces namespaces;
  };
  std::shared_ptr<const Known> Find(pid_t tid);
  std::shared_ptr<const Known> Meet(pid_t tid);
  std::optional<kernel::ThreadInfo> Query(const std::shared_ptr<const Known>& known);
  std::optional<Identity> AskShortly(pid_t tid);

  kernel::Kernel& kernel_;
  const Fixed fixed_;
  std::once_flag once_;
  std::optional<Identity> own_;
  bool groups_are_ours_ = false;
  bool powerless_ = false;  // no thread of our user namespace has capabilities
  base::UniqueFd root_;     // ours
  std::mutex mutex_;
  std::map<pid_t, std::shared_ptr<const Known>> known_;
};

}  // namespace callgate::supervise
