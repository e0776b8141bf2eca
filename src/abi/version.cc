#include "abi/version.h"

#include <charconv>

namespace callgate::abi {

std::optional<KernelVersion> ParseKernelVersion(std::string_view text) {
  KernelVersion version;
  const char* const begin = text.data();
  const char* const end = begin + text.size();
  auto [dot, major_error] = std::from_chars(begin, end, version.major);
  if (major_error != std::errc{} || dot == end || *dot != '.') return std::nullopt;
  auto [rest, minor_error] = std::from_chars(dot + 1, end, version.minor);
  if (minor_error != std::errc{}) return std::nullopt;
  return version;
}

std::string ToString(KernelVersion version) {
  return std::to_string(version.major) + "." + std::to_string(version.minor);
}

}  // namespace callgate::abi
