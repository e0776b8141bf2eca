#pragma once

#include <compare>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace callgate::abi {

// A kernel release as far as ABI facts need it: 5.11, 6.18.
struct KernelVersion {
  std::uint16_t major = 0;
  std::uint16_t minor = 0;

  auto operator<=>(const KernelVersion&) const = default;
};

// "6.18", "6.18.44-amd64", "2.6.39" → {2, 6}. nullopt if it does not start with two numbers.
std::optional<KernelVersion> ParseKernelVersion(std::string_view text);
std::string ToString(KernelVersion version);

}  // namespace callgate::abi
