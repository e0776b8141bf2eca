#pragma once

#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace callgate::abi {

// One system call as a filter sees it: struct seccomp_data of linux/seccomp.h.
struct Call {
  std::int32_t nr = 0;
  std::uint32_t arch = 0;  // AUDIT_ARCH_*
  std::uint64_t ip = 0;
  std::array<std::uint64_t, 6> args{};

  bool operator==(const Call&) const = default;
};
static_assert(sizeof(Call) == 64, "a filter loads 32-bit words from exactly these 64 bytes");
static_assert(offsetof(Call, arch) == 4 && offsetof(Call, ip) == 8 && offsetof(Call, args) == 16);

// The sixteen 32-bit words of a call, in the order a filter addresses them (offset / 4).
using CallWords = std::array<std::uint32_t, 16>;

inline constexpr std::uint8_t kNrWord = 0;
inline constexpr std::uint8_t kArchWord = 1;

// Words of 64-bit fields: which half comes first is the byte order's choice.
constexpr std::uint8_t IpLowWord(std::endian order) { return order == std::endian::little ? 2 : 3; }
constexpr std::uint8_t IpHighWord(std::endian order) {
  return order == std::endian::little ? 3 : 2;
}
constexpr std::uint8_t ArgLowWord(int arg_index, std::endian order) {
  return static_cast<std::uint8_t>(4 + 2 * arg_index + (order == std::endian::little ? 0 : 1));
}
constexpr std::uint8_t ArgHighWord(int arg_index, std::endian order) {
  return static_cast<std::uint8_t>(4 + 2 * arg_index + (order == std::endian::little ? 1 : 0));
}

// Splits as a machine of byte order `order` would see the call in memory; need not be this
// machine's.
constexpr CallWords WordsOf(const Call& call, std::endian order) {
  CallWords words{};
  words[kNrWord] = static_cast<std::uint32_t>(call.nr);
  words[kArchWord] = call.arch;
  words[IpLowWord(order)] = static_cast<std::uint32_t>(call.ip);
  words[IpHighWord(order)] = static_cast<std::uint32_t>(call.ip >> 32);
  for (int i = 0; i < 6; ++i) {
    words[ArgLowWord(i, order)] = static_cast<std::uint32_t>(call.args[i]);
    words[ArgHighWord(i, order)] = static_cast<std::uint32_t>(call.args[i] >> 32);
  }
  return words;
}

constexpr Call CallOf(const CallWords& words, std::endian order) {
  Call call;
  call.nr = static_cast<std::int32_t>(words[kNrWord]);
  call.arch = words[kArchWord];
  auto join = [&](std::uint8_t low, std::uint8_t high) {
    return static_cast<std::uint64_t>(words[high]) << 32 | words[low];
  };
  call.ip = join(IpLowWord(order), IpHighWord(order));
  for (int i = 0; i < 6; ++i) call.args[i] = join(ArgLowWord(i, order), ArgHighWord(i, order));
  return call;
}

}  // namespace callgate::abi
