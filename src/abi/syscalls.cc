// Numbers. Names are sorted, so a name is its index in them, found by binary search; an ABI's calls
// are one range of kNumbers, sorted by number. See internal.h for how they become Syscall values.

#include "abi/syscalls.h"

#include <algorithm>
#include <cstddef>
#include <iterator>

#include "abi/internal.h"

namespace callgate::abi {
namespace {

#include "abi/generated/syscalls.inc"

constexpr std::size_t kNameCount = std::size(kNameOffsets);
constexpr SortedNames<std::uint16_t> kNames{kNamePool, kNameOffsets};
constexpr std::uint16_t kAbsent = UINT16_MAX;

struct Table {
  std::vector<Syscall> by_number;
  std::vector<std::uint16_t> place_of_name;  // index in by_number, or kAbsent
};

Table BuildTable(ArchId tables) {
  Table table;
  table.place_of_name.assign(kNameCount, kAbsent);
  const auto arch_index = static_cast<std::size_t>(tables);
  table.by_number.reserve(kNumbersBegin[arch_index + 1] - kNumbersBegin[arch_index]);
  const std::uint32_t base = ArchOf(tables).nr_base;
  for (std::size_t i = kNumbersBegin[arch_index]; i < kNumbersBegin[arch_index + 1]; ++i) {
    const std::size_t name = kNumbers[i] & 0xfff;
    Syscall call{.name = kNames[name],
                 .nr = static_cast<std::int32_t>((kNumbers[i] >> 12) + base),
                 .since = std::nullopt,
                 .status = static_cast<SyscallStatus>(kStatus[name])};
    if (const std::uint16_t since = kSince[name]; since != 0) {
      call.since = KernelVersion{.major = static_cast<std::uint16_t>(since >> 8),
                                 .minor = static_cast<std::uint16_t>(since & 0xff)};
    }
    table.place_of_name[name] = static_cast<std::uint16_t>(table.by_number.size());
    table.by_number.push_back(call);
  }
  return table;
}

const Table& TableOf(ArchId arch) {
  static auto& tables = *new PerArch<Table>;
  const ArchId id = ArchOf(arch).tables;
  return tables.Get(id, [id] { return BuildTable(id); });
}

}  // namespace

std::optional<std::size_t> SyscallNameIndex(std::string_view name) { return kNames.IndexOf(name); }

bool IsKnownSyscallName(std::string_view name) { return kNames.IndexOf(name).has_value(); }

std::span<const std::string_view> AllSyscallNames() {
  static const auto& names = *new std::vector<std::string_view>(kNames.All());
  return names;
}

std::span<const Syscall> SyscallsOf(ArchId arch) { return TableOf(arch).by_number; }

const Syscall* FindSyscall(ArchId arch, std::string_view name) {
  const auto index = kNames.IndexOf(name);
  if (!index) return nullptr;
  const Table& table = TableOf(arch);
  const std::uint16_t place = table.place_of_name[*index];
  return place == kAbsent ? nullptr : &table.by_number[place];
}

const Syscall* FindSyscall(ArchId arch, std::int32_t nr) {
  const auto calls = SyscallsOf(arch);
  const auto found = std::ranges::lower_bound(calls, nr, {}, &Syscall::nr);
  return found == calls.end() || found->nr != nr ? nullptr : &*found;
}

std::vector<ArchId> ArchesWith(std::string_view name) {
  std::vector<ArchId> arches;
  for (const Arch& arch : AllArches()) {
    if (FindSyscall(arch.id, name) != nullptr) arches.push_back(arch.id);
  }
  return arches;
}

}  // namespace callgate::abi
