#include "abi/groups.h"

#include <algorithm>
#include <cstdint>
#include <vector>

#include "abi/syscalls.h"

namespace callgate::abi {
namespace {

struct PackedGroup {
  std::uint16_t name, description, first, count;
};

#include "abi/generated/groups.inc"

// Views of every group's members, built when first asked for and kept until the process ends.
struct Groups {
  std::vector<std::string_view> members;
  std::vector<Group> groups;
};

const Groups& AllOfThem() {
  static const auto& all = *[] {
    auto* built = new Groups;
    const auto names = AllSyscallNames();
    for (const std::uint16_t member : kMembers) built->members.push_back(names[member]);
    const std::span<const std::string_view> members = built->members;
    for (const PackedGroup& group : kGroups) {
      built->groups.push_back({kTextPool + group.name, kTextPool + group.description,
                               members.subspan(group.first, group.count)});
    }
    return built;
  }();
  return all;
}

}  // namespace

std::span<const Group> AllGroups() { return AllOfThem().groups; }

const Group* FindGroup(std::string_view name) {
  const auto groups = AllGroups();
  const auto found = std::ranges::find(groups, name, &Group::name);
  return found == groups.end() ? nullptr : &*found;
}

const Group* SmallestGroupWith(std::string_view syscall_name) {
  const Group* smallest = nullptr;
  for (const Group& group : AllGroups()) {
    if (group.name == "@known" || !std::ranges::binary_search(group.members, syscall_name))
      continue;
    if (smallest == nullptr || group.members.size() < smallest->members.size()) smallest = &group;
  }
  return smallest;
}

}  // namespace callgate::abi
