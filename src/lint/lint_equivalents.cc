// CG0601: the same deed by another name.
//
// A family is a set of calls each of which does what the others do. If one is denied on purpose
// (explicit.h) or its arguments are restricted, every other member must be as well; a member whose
// arguments are restricted too is taken to be restricted alike. A way is one-sided: who denies the
// first gains nothing while the second is open. Not part of it: calls denied with ENOSYS, because
// that is how a library is led to the sibling, and what no rule speaks of in a list of what is
// allowed.

#include <algorithm>
#include <array>
#include <string>
#include <string_view>
#include <vector>

#include "fmt/format.h"
#include "lint/explicit.h"
#include "lint/subject.h"

namespace callgate::lint {
namespace {

using Op = ArgumentTest::Op;

// With '|' between the members.
constexpr auto kFamilies = std::to_array<std::string_view>({
    "open|openat|openat2",
    "kill|tkill|tgkill|rt_sigqueueinfo|rt_tgsigqueueinfo|pidfd_send_signal",
    "chmod|fchmod|fchmodat|fchmodat2",
    "chown|lchown|fchown|fchownat",
    "chown32|lchown32|fchown32|fchownat",
    "rename|renameat|renameat2",
    "link|linkat",
    "symlink|symlinkat",
    "mkdir|mkdirat",
    "mknod|mknodat",
    "unlink|unlinkat",
    "truncate|ftruncate",
    "truncate64|ftruncate64",
    "execve|execveat",
    "chdir|fchdir",
    "setxattr|lsetxattr|fsetxattr|setxattrat",
    "removexattr|lremovexattr|fremovexattr|removexattrat",
    "write|writev|pwrite64|pwritev|pwritev2",
    "read|readv|pread64|preadv|preadv2",
    "sendto|sendmsg|sendmmsg",
    "recvfrom|recvmsg|recvmmsg",
    "init_module|finit_module",
    "kexec_load|kexec_file_load",
    "setuid|setreuid|setresuid",
    "setgid|setregid|setresgid",
    "settimeofday|clock_settime",
    "process_vm_readv|ptrace",
    "process_vm_writev|ptrace",
    "umount|umount2",
    "chroot|pivot_root",
    "accept|accept4",
});

struct Way {
  CallPattern denied;
  CallPattern open;
};
constexpr auto kWays = std::to_array<Way>({
    {{"openat", {{{"flags", Op::kHasAll, "O_CREAT|O_WRONLY"}}}}, {"creat"}},
    {{"open", {{{"flags", Op::kHasAll, "O_CREAT|O_WRONLY"}}}}, {"creat"}},
    {{"rmdir"}, {"unlinkat"}},
    {{"fork"}, {"clone", {{{"clone_flags", Op::kLacks, "CLONE_THREAD|CLONE_VM"}}}}},
    {{"clone", {{{"clone_flags", Op::kLacks, "CLONE_THREAD|CLONE_VM"}}}}, {"fork"}},
    {{"clone"}, {"clone3"}},
    {{"unshare", {{{"unshare_flags", Op::kHasAll, "CLONE_NEWUSER"}}}},
     {"clone",
      {{{"clone_flags", Op::kHasAll, "CLONE_NEWUSER"},
        {"clone_flags", Op::kLacks, "CLONE_THREAD|CLONE_FS"}}}}},
    {{"clone",
      {{{"clone_flags", Op::kHasAll, "CLONE_NEWUSER"},
        {"clone_flags", Op::kLacks, "CLONE_THREAD|CLONE_FS"}}}},
     {"unshare", {{{"unshare_flags", Op::kHasAll, "CLONE_NEWUSER"}}}}},
    {{"connect"}, {"sendto", {{{"flags", Op::kHasAll, "MSG_FASTOPEN"}}}}},
    {{"ptrace"}, {"process_vm_writev"}},
    {{"init_module"}, {"kexec_load"}},
    {{"write"}, {"splice"}},
    {{"write"}, {"sendfile"}},
    {{"write"}, {"copy_file_range"}},
});

std::vector<std::string_view> MembersOf(std::string_view family) {
  std::vector<std::string_view> members;
  while (!family.empty()) {
    const std::size_t bar = std::min(family.find('|'), family.size());
    members.push_back(family.substr(0, bar));
    family.remove_prefix(std::min(bar + 1, family.size()));
  }
  return members;
}

class EquivalentChecker {
 public:
  EquivalentChecker(Subject& subject, Findings& findings)
      : subject_(subject), decisions_(subject.decisions), findings_(findings) {}

  void Run(abi::ArchId arch) {
    for (const std::string_view family : kFamilies) {
      const std::vector<std::string_view> members = MembersOf(family);
      for (const std::string_view denied : members) {
        const bool on_purpose = IsDeniedOnPurpose(subject_, arch, denied);
        const bool conditional = !on_purpose && decisions_.IsConditional(arch, denied);
        if (!on_purpose && !conditional) continue;
        Opening opening;
        for (const std::string_view other : members) {
          if (other == denied) continue;
          const bool is_open = conditional ? decisions_.Always(arch, other, Outcome::kAllowed)
                                           : decisions_.Sometimes(arch, other, Outcome::kAllowed);
          if (is_open)
            opening.Add(other, decisions_.Find(arch, {.syscall = other}, Outcome::kAllowed));
        }
        Tell(decisions_.Find(arch, {.syscall = denied}, Outcome::kDenied), opening,
             conditional ? "restricted" : "denied");
      }
    }
    for (const Way& way : kWays) {
      const auto denied = decisions_.Find(arch, way.denied, Outcome::kDenied);
      if (!denied || decisions_.Find(arch, way.denied, Outcome::kAllowed)) continue;
      const bool has_tests = !way.denied.tests.front().argument.empty();
      const bool meant = IsDeniedOnPurpose(subject_, arch, way.denied.syscall) ||
                         (has_tests && decisions_.IsConditional(arch, way.denied.syscall));
      if (!meant) continue;
      Opening opening;
      if (const auto open = decisions_.Find(arch, way.open, Outcome::kAllowed)) {
        opening.Add(way.open.syscall, open);
      }
      Tell(denied, opening, has_tests ? "restricted" : "denied");
    }
  }

 private:
  struct Opening {
    std::vector<std::string> names;
    std::vector<abi::Call> calls;
    void Add(std::string_view name, const std::optional<abi::Call>& call) {
      if (!call) return;
      names.emplace_back(name);
      calls.push_back(*call);
    }
  };

  void Tell(const std::optional<abi::Call>& denied, const Opening& opening, std::string_view how) {
    if (!denied || opening.calls.empty()) return;
    const auto arch = *abi::ArchOfCall(denied->arch, denied->nr);
    std::string list;
    for (std::size_t i = 0; i < opening.names.size(); ++i) {
      if (i > 0) list += i + 1 == opening.names.size() ? " and " : ", ";
      list += opening.names[i];
    }
    Finding& finding = findings_.Add(
        Id::kEquivalentOpen, *denied,
        fmt::format("{} is {}, and {} {} allowed", abi::FindSyscall(arch, denied->nr)->name, how,
                    list, opening.names.size() == 1 ? "is" : "are"));
    finding.calls.insert(finding.calls.end(), opening.calls.begin(), opening.calls.end());
    finding.notes.push_back(findings_.WitnessText(opening.calls.front()));
    if (const base::Span place = findings_.PlaceOf(opening.calls.front());
        place.valid() && place != finding.span) {
      finding.related.push_back(place);
    }
  }

  Subject& subject_;
  Decisions& decisions_;
  Findings& findings_;
};

}  // namespace

void CheckEquivalents(Subject& subject, Findings& findings) {
  EquivalentChecker checker(subject, findings);
  for (const abi::ArchId arch : subject.arches) checker.Run(arch);
}

}  // namespace callgate::lint
