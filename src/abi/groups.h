#pragma once

#include <optional>
#include <span>
#include <string_view>

#include "abi/version.h"

namespace callgate::abi {

// A named set of system calls: "@system-service", "@file-system", … Names are systemd's, the ones
// administrators know.
struct Group {
  std::string_view name;                      // with the @
  std::string_view description;               // one line
  std::span<const std::string_view> members;  // expanded, sorted; names of any ABI
};

std::span<const Group> AllGroups();
const Group* FindGroup(std::string_view name);
// The smallest group that holds a call; nullptr if none but @known does. For "add @sync" hints.
const Group* SmallestGroupWith(std::string_view syscall_name);

}  // namespace callgate::abi
