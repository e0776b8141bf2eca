#include "policy/performed.h"

#include <algorithm>
#include <array>

namespace callgate::policy {
namespace {

constexpr std::array<PerformedCall, 92> kPerformed{{
    {"accept", Performance::kOnDuplicate},
    {"accept4", Performance::kOnDuplicate},
    {"access", Performance::kOnFile},
    {"bind", Performance::kOnDuplicate},
    {"bpf", Performance::kWithCopies},
    {"chdir", Performance::kHeld},
    {"chmod", Performance::kOnFile},
    {"chown", Performance::kOnFile},
    {"chroot", Performance::kHeld},
    {"connect", Performance::kOnDuplicate},
    {"creat", Performance::kReopened},
    {"execve", Performance::kPinned},
    {"execveat", Performance::kPinned},
    {"faccessat", Performance::kOnFile},
    {"faccessat2", Performance::kOnFile},
    {"fallocate", Performance::kOnDuplicate},
    {"fchdir", Performance::kHeld},
    {"fchmod", Performance::kOnDuplicate},
    {"fchmodat", Performance::kOnFile},
    {"fchmodat2", Performance::kOnFile},
    {"fchown", Performance::kOnDuplicate},
    {"fchownat", Performance::kOnFile},
    {"fgetxattr", Performance::kOnDuplicate},
    {"finit_module", Performance::kOnDuplicate},
    {"flistxattr", Performance::kOnDuplicate},
    {"fremovexattr", Performance::kOnDuplicate},
    {"fsetxattr", Performance::kOnDuplicate},
    {"fsopen", Performance::kThere},
    {"fspick", Performance::kThere},
    {"fstat", Performance::kOnDuplicate},
    {"fstatfs", Performance::kOnDuplicate},
    {"ftruncate", Performance::kOnDuplicate},
    {"futimesat", Performance::kOnFile},
    {"getdents", Performance::kOnDuplicate},
    {"getdents64", Performance::kOnDuplicate},
    {"getxattr", Performance::kOnFile},
    {"getxattrat", Performance::kOnFile},
    {"init_module", Performance::kWithCopies},
    {"lchown", Performance::kOnFile},
    {"lgetxattr", Performance::kOnFile},
    {"link", Performance::kAtParent},
    {"linkat", Performance::kAtParent},
    {"listen", Performance::kOnDuplicate},
    {"listxattr", Performance::kOnFile},
    {"listxattrat", Performance::kOnFile},
    {"llistxattr", Performance::kOnFile},
    {"lremovexattr", Performance::kOnFile},
    {"lsetxattr", Performance::kOnFile},
    {"lstat", Performance::kOnFile},
    {"mkdir", Performance::kAtParent},
    {"mkdirat", Performance::kAtParent},
    {"mknod", Performance::kAtParent},
    {"mknodat", Performance::kAtParent},
    {"mount", Performance::kThere},
    {"mount_setattr", Performance::kThere},
    {"move_mount", Performance::kThere},
    {"newfstatat", Performance::kOnFile},
    {"open", Performance::kReopened},
    {"openat", Performance::kReopened},
    {"openat2", Performance::kReopened},
    {"perf_event_open", Performance::kOnTask},
    {"prlimit64", Performance::kOnTask},
    {"readlink", Performance::kOnFile},
    {"readlinkat", Performance::kOnFile},
    {"removexattr", Performance::kOnFile},
    {"removexattrat", Performance::kOnFile},
    {"rename", Performance::kAtParent},
    {"renameat", Performance::kAtParent},
    {"renameat2", Performance::kAtParent},
    {"rmdir", Performance::kAtParent},
    {"sched_setattr", Performance::kOnTask},
    {"sched_setparam", Performance::kOnTask},
    {"sched_setscheduler", Performance::kOnTask},
    {"sendmmsg", Performance::kOnDuplicate},
    {"sendmsg", Performance::kOnDuplicate},
    {"sendto", Performance::kOnDuplicate},
    {"setrlimit", Performance::kOnTask},
    {"setxattr", Performance::kOnFile},
    {"setxattrat", Performance::kOnFile},
    {"shutdown", Performance::kOnDuplicate},
    {"stat", Performance::kOnFile},
    {"statfs", Performance::kOnFile},
    {"statx", Performance::kOnFile},
    {"symlink", Performance::kAtParent},
    {"symlinkat", Performance::kAtParent},
    {"truncate", Performance::kOnFile},
    {"umount2", Performance::kThere},
    {"unlink", Performance::kAtParent},
    {"unlinkat", Performance::kAtParent},
    {"utime", Performance::kOnFile},
    {"utimensat", Performance::kOnFile},
    {"utimes", Performance::kOnFile},
}};
static_assert(std::ranges::is_sorted(kPerformed, {}, &PerformedCall::name));

}  // namespace

std::span<const PerformedCall> PerformedCalls() { return kPerformed; }

Performance PerformanceOf(abi::ArchId arch, std::string_view call) {
  // Other ABIs have other structures and other numbers for the same flags.
  if (arch != abi::ArchId::kX86_64) return Performance::kNone;
  const auto* found = std::ranges::lower_bound(kPerformed, call, {}, &PerformedCall::name);
  return found != kPerformed.end() && found->name == call ? found->how : Performance::kNone;
}

bool CallerMakes(Performance how) {
  return how == Performance::kPinned || how == Performance::kHeld;
}

bool StartsPrograms(std::string_view call) { return call == "execve" || call == "execveat"; }

std::string_view Describe(Performance how) {
  switch (how) {
    case Performance::kNone:
      return "not performed";
    case Performance::kReopened:
      return "opens the file it has pinned and hands the descriptor over";
    case Performance::kAtParent:
      return "makes the call with the copied name in the directory it has pinned";
    case Performance::kOnFile:
      return "makes the call on the file it has pinned";
    case Performance::kOnDuplicate:
      return "makes the call on its own duplicate of the descriptor";
    case Performance::kThere:
      return "a process in the caller's namespaces makes the call on what it has pinned";
    case Performance::kWithCopies:
      return "makes the call with the copies";
    case Performance::kOnTask:
      return "makes the call with the copy for the thread it names";
    case Performance::kPinned:
      return "lets the caller make the call, and judges what was loaded before its first "
             "instruction";
    case Performance::kHeld:
      return "lets the caller make the call, and judges where it has come to before its next "
             "instruction";
  }
  return {};
}

}  // namespace callgate::policy
