#include "callgate/system.h"

#include <algorithm>

#include "abi/arch.h"
#include "abi/groups.h"
#include "abi/syscalls.h"
#include "api/version.h"
#include "base/nearest.h"
#include "fmt/format.h"

namespace callgate {
namespace {

std::string_view StatusText(abi::SyscallStatus status) {
  switch (status) {
    case abi::SyscallStatus::kActive:
    case abi::SyscallStatus::kArmPrivate:
    case abi::SyscallStatus::kNew:
      return "";
    case abi::SyscallStatus::kUnimplemented:
      return "unimplemented";
  }
  return "";
}

std::string ValuesText(const abi::Argument& argument) {
  if (!argument.set.empty()) {
    return argument.flags_set.empty() ? std::string(argument.set)
                                      : fmt::format("{}|{}", argument.set, argument.flags_set);
  }
  return std::string(argument.struct_name);
}

SyscallEntry Describe(const abi::Arch& arch, const abi::Syscall& syscall) {
  SyscallEntry entry;
  entry.arch = arch.name;
  entry.name = syscall.name;
  entry.nr = syscall.nr;
  if (syscall.since) entry.since = abi::ToString(*syscall.since);
  entry.status = StatusText(syscall.status);
  for (const abi::Argument& argument :
       abi::SignatureOf(arch.id, syscall.name).value_or(abi::Signature{})) {
    entry.arguments.push_back({std::string(argument.name), std::string(argument.c_type),
                               ValuesText(argument), argument.bits, argument.is_signed});
  }
  for (const abi::Group& group : abi::AllGroups()) {
    if (std::ranges::binary_search(group.members, syscall.name)) {
      entry.groups.emplace_back(group.name);
    }
  }
  return entry;
}

std::string Hint(const base::NearestName& nearest) {
  auto best = nearest.Best();
  return best ? fmt::format(" (did you mean '{}'?)", *best) : "";
}

}  // namespace

Result<std::vector<SyscallEntry>> ListSyscalls(std::string_view arch_name, std::string_view name) {
  auto arch_id = arch_name.empty() ? abi::NativeArch() : abi::FindArch(arch_name);
  if (!arch_id) {
    base::NearestName nearest(arch_name);
    for (const abi::Arch& arch : abi::AllArches()) nearest.Offer(arch.name);
    return std::unexpected(Error{fmt::format("unknown ABI '{}'{}", arch_name, Hint(nearest))});
  }
  const abi::Arch& arch = abi::ArchOf(*arch_id);
  std::vector<SyscallEntry> entries;
  if (name.starts_with('@')) {
    const abi::Group* group = abi::FindGroup(name);
    if (group == nullptr) {
      base::NearestName nearest(name);
      for (const abi::Group& other : abi::AllGroups()) nearest.Offer(other.name);
      return std::unexpected(Error{fmt::format("unknown group '{}'{}", name, Hint(nearest))});
    }
    for (const abi::Syscall& syscall : abi::SyscallsOf(arch.id)) {
      if (std::ranges::binary_search(group->members, syscall.name)) {
        entries.push_back(Describe(arch, syscall));
      }
    }
  } else if (name.empty()) {
    for (const abi::Syscall& syscall : abi::SyscallsOf(arch.id)) {
      entries.push_back(Describe(arch, syscall));
    }
  } else {
    const abi::Syscall* syscall = abi::FindSyscall(arch.id, name);
    if (syscall == nullptr && abi::IsKnownSyscallName(name)) {
      return std::unexpected(Error{fmt::format("{} does not exist on {}", name, arch.name)});
    }
    if (syscall == nullptr) {
      base::NearestName nearest(name);
      for (const abi::Syscall& other : abi::SyscallsOf(arch.id)) nearest.Offer(other.name);
      return std::unexpected(Error{fmt::format("unknown system call '{}'{}", name, Hint(nearest))});
    }
    entries.push_back(Describe(arch, *syscall));
  }
  return entries;
}

std::vector<GroupEntry> ListGroups() {
  std::vector<GroupEntry> groups;
  for (const abi::Group& group : abi::AllGroups()) {
    groups.push_back({std::string(group.name), std::string(group.description),
                      std::vector<std::string>(group.members.begin(), group.members.end())});
  }
  return groups;
}

std::vector<std::string> ListArches() {
  std::vector<std::string> names;
  for (const abi::Arch& arch : abi::AllArches()) names.emplace_back(arch.name);
  return names;
}

std::string_view Version() { return kVersion; }

}  // namespace callgate
