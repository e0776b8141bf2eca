#pragma once

#include <sched.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <expected>
#include <list>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "kernel/kernel.h"
#include "supervise/identity.h"
#include "supervise/perform.h"

namespace callgate::supervise {

struct NamespaceKind {
  std::string_view name;  // in /proc/PID/ns
  int flag;               // for setns(2)
};
inline constexpr std::array<NamespaceKind, 7> kNamespaceKinds{{
    {"user", CLONE_NEWUSER},
    {"mnt", CLONE_NEWNS},
    {"net", CLONE_NEWNET},
    {"ipc", CLONE_NEWIPC},
    {"uts", CLONE_NEWUTS},
    {"cgroup", CLONE_NEWCGROUP},
    {"time", CLONE_NEWTIME},
}};
using NamespaceSet = std::array<std::uint64_t, kNamespaceKinds.size()>;  // inodes

// Where a helper stands: what it must be the same in for two callers to share it.
struct Standing {
  Credentials credentials;  // ids and groups, as the supervisor sees them
  NamespaceSet enters{};    // 0: it stays in the supervisor's

  bool operator==(const Standing&) const = default;
};

class Helper;

// Processes that make calls for callers in namespaces that the supervisor is not in (helper.cc).
// Several threads may use it at once.
class Helpers {
 public:
  explicit Helpers(kernel::Kernel& kernel);
  ~Helpers();
  Helpers(const Helpers&) = delete;
  Helpers& operator=(const Helpers&) = delete;

  // Has the call prepared and performed by a helper that stands where the caller does. It looks for
  // the policy too (Inputs::LookElsewhere). Else: why there is none. `notification` and `own`, the
  // supervisor, must outlive the performer.
  std::expected<std::unique_ptr<Performer>, std::string> PerformerFor(
      const kernel::Notification& notification, const Identity& caller, const Identity& own,
      Scope scope);

  // Those that are idle.
  void EndAll();

 private:
  friend class ElsewherePerformer;
  std::expected<std::unique_ptr<Helper>, std::string> Take(pid_t tid, const Standing& standing,
                                                           const Identity& own);
  std::expected<std::unique_ptr<Helper>, std::string> Start(pid_t tid, const Standing& standing,
                                                            const Identity& own);
  void PutBack(std::unique_ptr<Helper> helper);

  kernel::Kernel& kernel_;
  std::mutex mutex_;
  std::list<std::unique_ptr<Helper>> idle_;  // the one used last in front
};

}  // namespace callgate::supervise
