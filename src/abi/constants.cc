// Constants. Entries stand in table order, set after set; a second index leads from a sorted name
// to its entries (a name may be in several sets). An entry has the value most ABIs share;
// kOverrides has the rest. Nothing is built at run time except lists that are asked for; these are
// kept: a report of a denied call asks for errno and its flags each time.

#include "abi/constants.h"

#include <algorithm>
#include <array>
#include <bitset>
#include <cstddef>
#include <functional>
#include <iterator>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#include "abi/internal.h"

namespace callgate::abi {
namespace {

struct Entry {
  std::uint64_t value;
  std::uint16_t name;
  std::uint16_t mask;
};

struct Override {
  std::uint64_t value;
  std::uint16_t entry;
  std::uint16_t mask;
};

// Clang counts the pool of names against the 64 KiB that the standard asks of every compiler; both
// of ours take it.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Woverlength-strings"
#include "abi/generated/constants.inc"
#pragma GCC diagnostic pop

constexpr SortedNames<std::uint32_t> kNames{kNamePool, kNameOffsets};
constexpr std::size_t kSetCount = std::size(kSetOffsets);

std::string_view SetAt(std::size_t index) { return kSetPool + kSetOffsets[index]; }

// "ioctl" stands for all "ioctl.*"; "libc.errno" and "kernel.msg_flags" complete the set they name.
bool SetMatches(std::string_view set, std::string_view wanted) {
  if (set == wanted) return true;
  if (wanted == "ioctl") return set.starts_with("ioctl.");
  for (std::string_view prefix : {"libc.", "kernel."}) {
    if (set.starts_with(prefix) && set.substr(prefix.size()) == wanted) return true;
  }
  return false;
}

std::size_t SetOfEntry(std::size_t entry) {
  const auto after = std::ranges::upper_bound(kSetBegin, entry);
  return static_cast<std::size_t>(after - std::begin(kSetBegin)) - 1;
}

std::optional<std::uint64_t> ValueOn(ArchId arch, std::size_t entry) {
  const auto bit = static_cast<unsigned>(ArchOf(arch).tables);
  if ((kMasks[kEntries[entry].mask] >> bit & 1) == 0) return std::nullopt;
  const auto by_entry = [](const Override& other) -> std::size_t { return other.entry; };
  for (const Override& other : std::ranges::equal_range(kOverrides, entry, {}, by_entry)) {
    if ((kMasks[other.mask] >> bit & 1) != 0) return other.value;
  }
  return kEntries[entry].value;
}

// Entries of a name; empty if there is none.
std::span<const std::uint16_t> EntriesOf(std::string_view name) {
  const auto index = kNames.IndexOf(name);
  if (!index) return {};
  const std::size_t begin = kEntriesOfNameBegin[*index];
  return std::span(kEntriesOfName).subspan(begin, kEntriesOfNameBegin[*index + 1] - begin);
}

std::vector<Constant> BuildSet(ArchId arch, std::string_view set) {
  std::vector<Constant> constants;
  std::bitset<std::size(kNameOffsets)> seen;
  for (std::size_t i = 0; i < kSetCount; ++i) {
    if (!SetMatches(SetAt(i), set)) continue;
    for (std::size_t entry = kSetBegin[i]; entry < kSetBegin[i + 1]; ++entry) {
      const std::size_t name = kEntries[entry].name;
      const auto value = ValueOn(arch, entry);
      if (!value || seen[name]) continue;
      seen.set(name);
      constants.push_back({kNames[name], *value});
    }
  }
  return constants;
}

}  // namespace

std::optional<std::uint64_t> FindConstant(ArchId arch, std::string_view name,
                                          std::string_view preferred_set) {
  std::optional<std::uint64_t> first;
  for (const std::uint16_t entry : EntriesOf(name)) {
    const auto value = ValueOn(arch, entry);
    if (!value) continue;
    if (SetMatches(SetAt(SetOfEntry(entry)), preferred_set)) return value;
    if (!first) first = value;
  }
  return first;
}

bool IsKnownConstantName(std::string_view name) { return !EntriesOf(name).empty(); }

std::string_view SetOfConstant(std::string_view name) {
  const auto entries = EntriesOf(name);
  return entries.empty() ? std::string_view{} : SetAt(SetOfEntry(entries.front()));
}

const std::vector<Constant>& ConstantsOf(ArchId arch, std::string_view set) {
  struct Lists {
    std::mutex mutex;
    std::map<std::string, std::vector<Constant>, std::less<>> by_set;
  };
  static auto& all = *new std::array<Lists, kArchCount>;
  static const auto& none = *new std::vector<Constant>;
  Lists& lists = all[static_cast<std::size_t>(arch)];
  const std::lock_guard lock(lists.mutex);
  const auto known = lists.by_set.find(set);
  if (known != lists.by_set.end()) return known->second;
  std::vector<Constant> built = BuildSet(arch, set);
  if (built.empty()) return none;
  return lists.by_set.emplace(set, std::move(built)).first->second;
}

std::span<const std::string_view> AllConstantNames() {
  static const auto& names = *new std::vector<std::string_view>(kNames.All());
  return names;
}

std::optional<std::uint32_t> ErrnoValue(ArchId arch, std::string_view name) {
  for (const std::uint16_t entry : EntriesOf(name)) {
    if (!SetMatches(SetAt(SetOfEntry(entry)), "errno")) continue;
    if (const auto value = ValueOn(arch, entry)) return static_cast<std::uint32_t>(*value);
  }
  return std::nullopt;
}

}  // namespace callgate::abi
