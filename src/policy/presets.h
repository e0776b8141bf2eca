#pragma once

#include <cstddef>
#include <span>
#include <string_view>

namespace callgate::policy {

// A policy file that is shipped with callgate, for `use @name`. Its first line is a comment that
// says in one sentence what it allows.
struct Preset {
  std::string_view name;  // with the @
  std::string_view text;
};

// All of them, sorted by name.
std::span<const Preset> AllPresets();
// nullptr if there is none of that name.
const Preset* FindPreset(std::string_view name);

namespace internal {
extern const Preset kPresets[];
extern const std::size_t kPresetCount;
}  // namespace internal

}  // namespace callgate::policy
