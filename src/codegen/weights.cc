// A filter is not run for most calls. At installation the kernel (5.11 and newer) looks which
// numbers it allows whatever the arguments, and never runs it for those again. What is left are
// calls that are decided by their arguments, and denied ones. The first are what the program really
// waits for, so their paths count sixteen times; a denied call happens rarely, and an allowed one
// once, in the kernel's search at installation (which is most of the time that installing takes, so
// it does count). x32 shares a search with x86_64 and is hardly used: it counts a sixteenth.
//
// Among calls with arguments to check those for locks and memory stand out: the C library makes
// them for every program, at any time, and they are short. Of 10,000 calls that twelve programs
// made, 1200 were mmap, 530 futex, 400 mprotect and 50 madvise; beside them 270 fcntl, 100 ioctl,
// 50 socket, 40 prctl, 30 clone and clone3 (bench/call_rates.py, November 2026). So they count
// eight times as much again.
//
// A profile says it better than such a guess: it outweighs everything else together, so that hot
// calls come first, each as early as its share allows. Calls that the kernel lets pass by itself do
// not need it and are left out.
//
// Numbers beyond the ABI's table weigh as one, together; so does a whole ABI's number space that is
// decided alike. Otherwise the way to them, who are most of the numbers there are, would be the
// shortest.

#include "codegen/weights.h"

#include <algorithm>
#include <limits>
#include <string_view>

#include "abi/arch.h"
#include "abi/syscalls.h"

namespace callgate::codegen {
namespace {

constexpr std::uint64_t kOrdinary = 16;
constexpr std::uint64_t kArgumentDecides = 256;
constexpr std::uint64_t kLockOrMemory = 2048;
constexpr std::string_view kLocksAndMemory[] = {"futex", "futex_time64", "madvise",
                                                "mmap",  "mmap2",        "mprotect"};
constexpr std::uint64_t kX32Share = 16;
constexpr std::uint64_t kProfileTotal = 1U << 20;  // dozens of times all other weights
// Without an ABI to ask: wider ranges hold no numbers in use.
constexpr std::uint32_t kUsedWidth = 4096;

struct Block {
  std::uint32_t last = UINT32_MAX;  // of the ABI's number space
  std::uint32_t used = 0;           // the last number in its table
  std::uint32_t first = 0;
  abi::ArchId arch = abi::ArchId::kX86_64;
};

// The number space around `first`.
std::optional<Block> BlockOf(std::uint32_t audit_arch, std::uint32_t first) {
  const auto arch = abi::ArchOfCall(audit_arch, static_cast<std::int32_t>(first));
  const std::span<const abi::Syscall> table =
      arch ? abi::SyscallsOf(*arch) : std::span<const abi::Syscall>();
  if (table.empty()) return std::nullopt;
  Block block;
  block.used = static_cast<std::uint32_t>(table.back().nr);
  block.arch = *arch;
  if (audit_arch == abi::ArchOf(abi::ArchId::kX86_64).audit_arch) {
    if (*arch == abi::ArchId::kX32) {
      block.first = abi::kX32Bit;
      block.last = abi::kX32Last;
    } else if (first < abi::kX32Bit) {
      block.last = abi::kX32Bit - 1;
    } else {
      block.first = abi::kX32Last + 1;
    }
  }
  return block;
}

std::uint64_t UsedNumbers(std::uint32_t first, std::uint32_t last,
                          const std::optional<Block>& block) {
  if (!block) return last - first < kUsedWidth ? std::uint64_t{last} - first + 1 : 1;
  if (first > block->used || (first == block->first && last >= block->last)) return 1;
  return std::uint64_t{std::min(last, block->used)} - first + 1;
}

bool IsAllow(const graph::Node& node) {
  return node.is_leaf && node.ret_value == abi::kAllow.value();
}

bool ArgumentDecides(const graph::Node& node) {
  return !node.is_leaf && node.predicate.word > abi::kArchWord;
}

// How many of the numbers are calls for locks or memory.
std::uint64_t LocksAndMemory(abi::ArchId arch, std::uint32_t first, std::uint32_t last) {
  auto number = [](const abi::Syscall& call) { return static_cast<std::uint32_t>(call.nr); };
  const auto calls = abi::SyscallsOf(arch);
  const auto begin = std::ranges::lower_bound(calls, first, {}, number);
  const auto end = std::ranges::upper_bound(calls, last, {}, number);
  return static_cast<std::uint64_t>(std::count_if(begin, end, [](const abi::Syscall& call) {
    return std::ranges::find(kLocksAndMemory, call.name) != std::end(kLocksAndMemory);
  }));
}

// Of so many numbers that arguments decide, some for locks or memory.
std::uint64_t CheckedWeight(std::uint64_t numbers, std::uint64_t locks_and_memory) {
  const std::uint64_t others = numbers - std::min(numbers, locks_and_memory);
  return kLockOrMemory * locks_and_memory + kArgumentDecides * others;
}

}  // namespace

CallWeights::CallWeights(std::span<const CallCount> profile) {
  std::uint64_t total = 0;
  for (const CallCount& call : profile) {
    total += std::min(call.count, std::numeric_limits<std::uint64_t>::max() - total);
  }
  if (total == 0) return;
  for (const CallCount& call : profile) {
    // In floating point because counts may be large; the rounded weight is an integer again.
    const double share = static_cast<double>(call.count) / static_cast<double>(total);
    profile_.push_back({call.audit_arch, static_cast<std::uint32_t>(call.nr),
                        static_cast<std::uint64_t>(share * kProfileTotal)});
  }
  std::ranges::sort(profile_, [](const Scaled& a, const Scaled& b) {
    return std::pair(a.audit_arch, a.nr) < std::pair(b.audit_arch, b.nr);
  });
}

std::uint64_t CallWeights::FromProfile(std::uint32_t audit_arch, std::uint32_t first,
                                       std::uint32_t last) const {
  const auto from = std::ranges::lower_bound(
      profile_, std::pair(audit_arch, first), {},
      [](const Scaled& call) { return std::pair(call.audit_arch, call.nr); });
  std::uint64_t weight = 0;
  for (auto call = from;
       call != profile_.end() && call->audit_arch == audit_arch && call->nr <= last; ++call) {
    weight += call->weight;
  }
  return weight;
}

std::vector<std::uint64_t> CallWeights::Of(const graph::Pool& pool, const graph::Steps& steps,
                                           std::optional<std::uint32_t> arch) const {
  std::vector<std::uint64_t> weights;
  weights.reserve(steps.size());
  std::optional<Block> block;
  std::uint32_t block_last = 0;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::uint32_t first = steps[i].first;
    const std::uint32_t last = i + 1 < steps.size() ? steps[i + 1].first - 1 : UINT32_MAX;
    if (arch && (i == 0 || first > block_last)) {
      block = BlockOf(*arch, first);
      block_last = block ? block->last : UINT32_MAX;
    }
    const graph::Node& target = pool[steps[i].node];
    const std::uint64_t numbers = UsedNumbers(first, last, block);
    std::uint64_t weight = kOrdinary * numbers;
    if (ArgumentDecides(target)) {
      weight = CheckedWeight(numbers, block ? LocksAndMemory(block->arch, first, last) : 0);
    }
    if (block && block->arch == abi::ArchId::kX32) weight /= kX32Share;
    // The kernel keeps its table for ABIs whose numbers start at 0.
    const bool is_cached = IsAllow(target) && block && abi::ArchOf(block->arch).nr_base == 0;
    if (arch && !is_cached) weight += FromProfile(*arch, first, last);
    weights.push_back(weight);
  }
  return weights;
}

std::uint64_t CallWeights::OfCall(const graph::Node& decides, const abi::Arch& arch,
                                  std::int32_t nr) const {
  const bool is_cached = IsAllow(decides) && arch.nr_base == 0;
  if (is_cached) return 0;
  const auto number = static_cast<std::uint32_t>(nr);
  std::uint64_t base = kOrdinary;
  if (ArgumentDecides(decides)) base = CheckedWeight(1, LocksAndMemory(arch.id, number, number));
  base += FromProfile(arch.audit_arch, number, number);
  return arch.id == abi::ArchId::kX32 ? base / kX32Share : base;
}

}  // namespace callgate::codegen
