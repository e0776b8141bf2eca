#include "policy/groups.h"

#include <algorithm>
#include <utility>

#include "abi/groups.h"
#include "base/check.h"
#include "base/nearest.h"
#include "fmt/format.h"
#include "policy/presets.h"
#include "policy/print.h"

namespace callgate::policy {

void GroupTable::Define(const ast::Group& group) {
  auto [place, is_new] = own_.try_emplace(group.name);
  if (!is_new) {
    diagnostics_.Error(group.name_span, fmt::format("a second group {}", group.name))
        .notes.push_back({"the first is here", place->second.span});
    return;
  }
  if (abi::FindGroup(group.name) != nullptr || FindPreset(group.name) != nullptr) {
    diagnostics_
        .Warning(group.name_span, fmt::format("this hides the {} that callgate ships", group.name))
        .notes.push_back({"readers of the policy will expect that one; take another name", {}});
  }
  Own own;
  own.span = group.name_span;
  for (const ast::Event& event : group.members) {
    if (!event.is_group) {
      if (!abi::IsKnownSyscallName(event.name)) {
        ReportUnknownCall(event, diagnostics_);
      } else if (!event.prefix.empty() && !abi::FindArch(event.prefix)) {
        diagnostics_.Error(event.span, fmt::format("unknown ABI '{}'", event.prefix));
      } else {
        own.members.push_back({event.name, event.prefix});
      }
      continue;
    }
    // The group itself is not there yet: a group within itself is an unknown one.
    auto other = event.name == group.name ? own_.end() : own_.find(event.name);
    if (other != own_.end()) {
      const auto& members = other->second.members;
      own.members.insert(own.members.end(), members.begin(), members.end());
    } else if (const abi::Group* shipped = abi::FindGroup(event.name)) {
      for (std::string_view member : shipped->members) {
        own.members.push_back({std::string(member), ""});
      }
    } else {
      ReportUnknown(event);
    }
  }
  // Groups of groups of groups must not grow without end.
  std::ranges::sort(own.members, {}, [](const Member& m) { return std::tie(m.name, m.prefix); });
  auto rest = std::ranges::unique(own.members, {},
                                  [](const Member& m) { return std::tie(m.name, m.prefix); });
  own.members.erase(rest.begin(), rest.end());
  place->second = std::move(own);
}

bool GroupTable::Has(std::string_view name) const {
  return own_.contains(name) || abi::FindGroup(name) != nullptr;
}

const std::vector<const abi::Syscall*>& GroupTable::CallsOf(std::string_view name,
                                                            abi::ArchId arch) {
  auto [place, is_new] = calls_.try_emplace({std::string(name), arch});
  std::vector<const abi::Syscall*>& calls = place->second;
  if (!is_new) return calls;
  auto add = [&](std::string_view member) {
    const abi::Syscall* call = abi::FindSyscall(arch, member);
    // Two names of one number are one call.
    if (call != nullptr) calls.push_back(abi::FindSyscall(arch, call->nr));
  };
  if (auto own = own_.find(name); own != own_.end()) {
    for (const Member& member : own->second.members) {
      if (member.prefix.empty() || abi::FindArch(member.prefix) == arch) add(member.name);
    }
  } else {
    const abi::Group* shipped = abi::FindGroup(name);
    CG_CHECK(shipped != nullptr);
    for (std::string_view member : shipped->members) add(member);
  }
  std::ranges::sort(calls, {}, &abi::Syscall::nr);
  auto rest = std::ranges::unique(calls, {}, &abi::Syscall::nr);
  calls.erase(rest.begin(), rest.end());
  return calls;
}

void GroupTable::ReportUnknown(const ast::Event& event) const {
  if (own_.contains(event.name)) {
    diagnostics_.Error(event.span, fmt::format("{} cannot hold itself", event.name));
    return;
  }
  base::NearestName nearest(event.name);
  for (const auto& [name, own] : own_) nearest.Offer(name);
  for (const abi::Group& group : abi::AllGroups()) nearest.Offer(group.name);
  for (const Preset& preset : AllPresets()) nearest.Offer(preset.name);
  auto& error =
      diagnostics_.Error(event.span, fmt::format("there is no group or preset {}", event.name));
  if (FindPreset(event.name) != nullptr) {
    error.message = fmt::format("{} is a preset, not a group", event.name);
    error.notes.push_back({fmt::format("write `use {}`", event.name), {}});
  } else if (auto best = nearest.Best()) {
    error.notes.push_back({fmt::format("did you mean '{}'?", *best), {}});
  }
}

void GroupTable::ReportUnknownCall(const ast::Event& event, base::Diagnostics& diagnostics) {
  std::string_view written = event.name;
  if (written.starts_with("sys_")) written.remove_prefix(4);
  base::NearestName nearest(written);
  if (!diagnostics.IsFull()) {
    for (std::string_view name : abi::AllSyscallNames()) nearest.Offer(name);
  }
  auto& error = diagnostics.Error(event.span, fmt::format("unknown system call '{}'", event.name));
  if (auto best = nearest.Best()) {
    error.notes.push_back({fmt::format("did you mean '{}'?", *best), {}});
  } else {
    error.notes.push_back({"`callgate syscalls` lists the names", {}});
  }
}

}  // namespace callgate::policy
