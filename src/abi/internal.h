#pragma once

// What the files of this folder share; nobody else includes it.

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <ranges>
#include <span>
#include <string_view>
#include <vector>

#include "abi/arch.h"

namespace callgate::abi {

// Names of a generated table: sorted, each ended by NUL, found by binary search. The tables hold
// offsets instead of pointers, so that the program starts without relocating a single name.
template <typename Offset>
struct SortedNames {
  const char* pool;
  std::span<const Offset> offsets;

  std::string_view operator[](std::size_t index) const { return pool + offsets[index]; }

  std::optional<std::size_t> IndexOf(std::string_view name) const {
    const auto by_name = [this](Offset offset) -> std::string_view { return pool + offset; };
    const auto found = std::ranges::lower_bound(offsets, name, {}, by_name);
    if (found == offsets.end() || by_name(*found) != name) return std::nullopt;
    return static_cast<std::size_t>(found - offsets.begin());
  }

  std::vector<std::string_view> All() const {
    std::vector<std::string_view> all;
    all.reserve(offsets.size());
    for (std::size_t i = 0; i < offsets.size(); ++i) all.push_back((*this)[i]);
    return all;
  }
};

// Index in AllSyscallNames(), without building that list.
std::optional<std::size_t> SyscallNameIndex(std::string_view name);

// Callers want structs with string_views; those are built per ABI when first asked for and kept
// until the process ends. Safe from several threads; not for a signal handler or a forked child.
template <typename T>
class PerArch {
 public:
  template <typename Build>
  const T& Get(ArchId arch, Build build) {
    const auto index = static_cast<std::size_t>(arch);
    std::call_once(flags_[index], [&] { values_[index] = build(); });
    return values_[index];
  }

 private:
  std::array<std::once_flag, kArchCount> flags_;
  std::array<T, kArchCount> values_;
};

}  // namespace callgate::abi
