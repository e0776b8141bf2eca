#include "policy/presets.h"

#include <algorithm>

namespace callgate::policy {

std::span<const Preset> AllPresets() { return {internal::kPresets, internal::kPresetCount}; }

const Preset* FindPreset(std::string_view name) {
  auto all = AllPresets();
  auto found = std::ranges::find(all, name, &Preset::name);
  return found == all.end() ? nullptr : &*found;
}

}  // namespace callgate::policy
