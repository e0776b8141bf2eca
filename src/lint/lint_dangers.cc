// CG05xx: what a filter is there to prevent and does not.
//
// "X is allowed" is no finding by itself, so a policy whose rule names the call and says why in a
// comment is left alone, and so is an argument that the rule names. What is told is a danger that
// nobody decided for, or one that undoes what another rule does.

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <vector>

#include "fmt/format.h"
#include "lint/explicit.h"
#include "lint/subject.h"

namespace callgate::lint {
namespace {

using Op = ArgumentTest::Op;

struct Danger {
  Id id;
  CallPattern call;
};
constexpr auto kDangers = std::to_array<Danger>({
    {Id::kTiocsti, {"ioctl", {{{"cmd", Op::kIs, "TIOCSTI"}}}}},
    {Id::kTioclinux, {"ioctl", {{{"cmd", Op::kIs, "TIOCLINUX"}}}}},
    {Id::kOtherProcesses, {"ptrace"}},
    {Id::kOtherProcesses, {"process_vm_readv"}},
    {Id::kOtherProcesses, {"process_vm_writev"}},
    {Id::kOtherProcesses, {"pidfd_getfd"}},
    {Id::kUserNamespace, {"unshare", {{{"unshare_flags", Op::kHasAll, "CLONE_NEWUSER"}}}}},
    // The kernel refuses the flag together with these two.
    {Id::kUserNamespace,
     {"clone",
      {{{"clone_flags", Op::kHasAll, "CLONE_NEWUSER"},
        {"clone_flags", Op::kLacks, "CLONE_THREAD|CLONE_FS"}}}}},
    {Id::kKernelSurface, {"bpf"}},
    {Id::kKernelSurface, {"perf_event_open"}},
    {Id::kKernelSurface, {"userfaultfd"}},
    {Id::kKernelSurface, {"keyctl"}},
    {Id::kKernelSurface, {"add_key"}},
    {Id::kKernelSurface, {"request_key"}},
    {Id::kKernelSurface, {"modify_ldt"}},
    {Id::kMachine, {"kexec_load"}},
    {Id::kMachine, {"kexec_file_load"}},
    {Id::kMachine, {"init_module"}},
    {Id::kMachine, {"finit_module"}},
    {Id::kMachine, {"delete_module"}},
    {Id::kMachine, {"iopl"}},
    {Id::kMachine, {"ioperm"}},
    {Id::kMachine, {"open_by_handle_at"}},
    {Id::kMachine, {"quotactl"}},
    {Id::kMachine, {"quotactl_fd"}},
    {Id::kMachine, {"swapon"}},
    {Id::kMachine, {"swapoff"}},
    {Id::kMachine, {"reboot"}},
    {Id::kMachine, {"clock_settime"}},
    {Id::kMachine, {"settimeofday"}},
    {Id::kMachine, {"acct"}},
});

std::string Listed(std::vector<std::string> names) {
  std::ranges::sort(names);
  names.erase(std::ranges::unique(names).begin(), names.end());
  std::string list;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i > 0) list += i + 1 == names.size() ? " and " : ", ";
    list += names[i];
  }
  return list;
}

class DangerChecker {
 public:
  DangerChecker(Subject& subject, Findings& findings)
      : subject_(subject), decisions_(subject.decisions), findings_(findings) {}

  void CheckTable();
  void CheckIoUring(abi::ArchId arch);
  void CheckSocketFamilies(abi::ArchId arch);
  void CheckWritableCode(abi::ArchId arch);
  void CheckPrctl(abi::ArchId arch);
  void CheckMounts(abi::ArchId arch);
  void CheckReadOnly(abi::ArchId arch);

 private:
  std::optional<abi::Call> Allowed(abi::ArchId arch, const CallPattern& pattern) {
    return decisions_.Find(arch, pattern, Outcome::kAllowed);
  }
  std::optional<abi::Call> Denied(abi::ArchId arch, const CallPattern& pattern) {
    return decisions_.Find(arch, pattern, Outcome::kDenied);
  }

  Subject& subject_;
  Decisions& decisions_;
  Findings& findings_;
};

// One finding for each id and place: a group that brings five of them is one mistake.
void DangerChecker::CheckTable() {
  struct Group {
    std::vector<abi::Call> calls;
    std::vector<std::string> names;
  };
  std::map<std::tuple<Id, base::FileId, std::uint32_t>, Group> groups;
  for (const abi::ArchId arch : subject_.arches) {
    for (const Danger& danger : kDangers) {
      const auto call = Allowed(arch, danger.call);
      if (!call || IsGrantedWithReason(subject_, *call)) continue;
      const base::Span span = findings_.PlaceOf(*call);
      Group& group = groups[{danger.id, span.file, span.begin}];
      group.calls.push_back(*call);
      group.names.emplace_back(danger.call.syscall);
    }
  }
  for (const auto& [key, group] : groups) {
    const Id id = std::get<0>(key);
    const std::string names = Listed(group.names);
    std::string message;
    switch (id) {
      case Id::kTiocsti:
        message = "TIOCSTI, which types into the terminal, is allowed";
        break;
      case Id::kTioclinux:
        message = "TIOCLINUX, which pastes into the terminal, is allowed";
        break;
      case Id::kUserNamespace:
        message = fmt::format("{} can make a user namespace", names);
        break;
      case Id::kOtherProcesses:
        message = fmt::format("other processes are within reach of {}", names);
        break;
      default:
        message = fmt::format("allowed: {}", names);
        break;
    }
    findings_.Add(id, group.calls.front(), std::move(message)).calls = group.calls;
  }
}

// What io_uring can do instead (io_uring_enter(2)).
constexpr auto kByIoUring = std::to_array<std::string_view>(
    {"openat", "openat2", "open", "socket", "connect", "bind", "unlinkat", "renameat2", "mkdirat",
     "linkat", "symlinkat", "setxattr", "fsetxattr", "write", "sendmsg"});

void DangerChecker::CheckIoUring(abi::ArchId arch) {
  const auto open = Allowed(arch, {.syscall = "io_uring_setup"});
  if (!open || !Allowed(arch, {.syscall = "io_uring_enter"})) return;
  for (const std::string_view name : kByIoUring) {
    const bool restricted =
        decisions_.IsConditional(arch, name) || decisions_.Always(arch, name, Outcome::kDenied);
    if (!restricted) continue;
    // A call hidden in favour of a sibling is not what the filter is about.
    if (IsHidden(subject_, arch, name)) continue;
    Finding& finding = findings_.Add(
        Id::kIoUring, *open, fmt::format("{} is restricted, and io_uring does it unseen", name));
    finding.notes.push_back(findings_.WitnessText(*Denied(arch, {.syscall = name})));
    return;
  }
}

// Families that reach beyond the host's own sockets or deep into the kernel.
constexpr auto kFamilies = std::to_array<std::string_view>(
    {"AF_VSOCK", "AF_ALG", "AF_PACKET", "AF_CAN", "AF_TIPC", "AF_BLUETOOTH", "AF_XDP", "AF_NFC"});

void DangerChecker::CheckSocketFamilies(abi::ArchId arch) {
  if (!decisions_.IsConditional(arch, "socket")) return;
  // Families that no kernel has: who allows them lists what is denied.
  constexpr std::string_view kNobodys = "200";
  if (!Allowed(arch, {"socket", {{{"family", Op::kIs, kNobodys}}}})) return;
  std::vector<std::string> names;
  std::optional<abi::Call> first;
  for (const std::string_view family : kFamilies) {
    const auto call = Allowed(arch, {"socket", {{{"family", Op::kIs, family}}}});
    // A width mistake is another finding: here the call must be allowed as people write it.
    if (!call || call->args[0] > UINT32_MAX) continue;
    if (!first) first = call;
    names.emplace_back(family);
  }
  if (!first) return;
  findings_.Add(Id::kSocketFamily, *first,
                fmt::format("the rule for socket leaves {} open", Listed(names)));
}

void DangerChecker::CheckWritableCode(abi::ArchId arch) {
  constexpr std::string_view kBoth = "PROT_WRITE|PROT_EXEC";
  constexpr auto kMaps = std::to_array<CallPattern>({
      {"mmap", {{{"prot", Op::kHasAll, kBoth}}}},
      {"mmap2", {{{"prot", Op::kHasAll, kBoth}}}},
      {"mprotect", {{{"prot", Op::kHasAll, kBoth}}}},
      {"pkey_mprotect", {{{"prot", Op::kHasAll, kBoth}}}},
      {"shmat", {{{"shmflg", Op::kHasAll, "SHM_EXEC"}}}},
      {"personality",
       {{{"personality", Op::kHasAll, "READ_IMPLIES_EXEC"},
         {"personality", Op::kLacks, "0x80000000"}}}},
  });
  // Does one of the first three give memory, and never writable code?
  std::optional<abi::Call> refused;
  for (std::size_t i = 0; i < 3 && !refused; ++i) {
    if (Allowed(arch, {.syscall = kMaps[i].syscall}) && !Allowed(arch, kMaps[i])) {
      refused = Denied(arch, kMaps[i]);
    }
  }
  if (!refused) return;
  std::vector<std::string> names;
  std::optional<abi::Call> first;
  auto look = [&](const CallPattern& pattern) {
    const auto call = Allowed(arch, pattern);
    if (!call || IsGrantedWithReason(subject_, *call)) return;
    if (!first) first = call;
    names.emplace_back(pattern.syscall);
  };
  for (const CallPattern& pattern : kMaps) look(pattern);
  // The old mmap has its arguments in memory.
  if (arch == abi::ArchId::kI386 || arch == abi::ArchId::kM68k) look({.syscall = "mmap"});
  if (!first) return;
  findings_
      .Add(Id::kWritableCode, *first,
           fmt::format("writable code is refused, and {} makes it", Listed(names)))
      .notes.push_back(findings_.WitnessText(*refused));
}

void DangerChecker::CheckPrctl(abi::ArchId arch) {
  if (!decisions_.Always(arch, "prctl", Outcome::kAllowed)) return;
  const auto call = Allowed(arch, {.syscall = "prctl"});
  if (!call || IsGrantedWithReason(subject_, *call)) return;
  findings_.Add(Id::kPrctl, *call, "every option of prctl is allowed");
}

void DangerChecker::CheckMounts(abi::ArchId arch) {
  constexpr auto kNewApi = std::to_array<std::string_view>(
      {"fsopen", "fsmount", "fsconfig", "fspick", "open_tree", "move_mount", "mount_setattr"});
  // Alone it opens a path, or makes a copy of a tree that nothing else can put anywhere.
  constexpr std::string_view kHarmlessAlone = "open_tree";
  if (Allowed(arch, {.syscall = "mount"})) return;
  const auto denied = Denied(arch, {.syscall = "mount"});
  if (!denied) return;
  std::vector<std::string> names;
  std::optional<abi::Call> first;
  for (const std::string_view name : kNewApi) {
    const auto call = Allowed(arch, {.syscall = name});
    if (!call || IsGrantedWithReason(subject_, *call)) continue;
    if (!first) first = call;
    names.emplace_back(name);
  }
  if (!first || (names.size() == 1 && names.front() == kHarmlessAlone)) return;
  findings_
      .Add(Id::kNewMountApi, *first,
           fmt::format("mount is denied, and {} {} allowed", Listed(names),
                       names.size() == 1 ? "is" : "are"))
      .notes.push_back(findings_.WitnessText(*denied));
}

void DangerChecker::CheckReadOnly(abi::ArchId arch) {
  for (const std::string_view name : {"openat", "open"}) {
    if (Allowed(arch, {name, {{{"flags", Op::kHasAny, "O_WRONLY|O_RDWR"}}}})) continue;
    auto call = Allowed(arch, {name, {{{"flags", Op::kHasAll, "O_TRUNC"}}}});
    const bool truncates = call.has_value();
    if (!call) call = Allowed(arch, {name, {{{"flags", Op::kHasAll, "O_CREAT"}}}});
    if (!call) continue;
    findings_.Add(Id::kReadOnlyCreates, *call,
                  fmt::format("{} opens files for reading only, and {} them", name,
                              truncates ? "still empties" : "still creates"));
    return;
  }
}

}  // namespace

void CheckDangers(Subject& subject, Findings& findings) {
  DangerChecker checker(subject, findings);
  checker.CheckTable();
  for (const abi::ArchId arch : subject.arches) {
    checker.CheckIoUring(arch);
    checker.CheckSocketFamilies(arch);
    checker.CheckWritableCode(arch);
    checker.CheckPrctl(arch);
    checker.CheckMounts(arch);
    checker.CheckReadOnly(arch);
  }
}

}  // namespace callgate::lint
