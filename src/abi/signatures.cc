// Arguments. The generator resolved everything that depends on the ABI: which registers, how many
// of their bits, which of them belong together. Equal argument descriptions and equal lists of them
// are stored once; a signature is a name, a set of ABIs and a list.

#include <algorithm>
#include <cstddef>
#include <mutex>
#include <unordered_map>

#include "abi/internal.h"
#include "abi/syscalls.h"
#include "base/check.h"

namespace callgate::abi {
namespace {

struct PackedArgument {
  std::uint16_t name, aliases, c_type, set, flags_set, struct_name, pair_name, pair_aliases;
  std::uint8_t kind;
  std::uint8_t bits;
  bool is_signed;
  bool pair_is_signed;
  std::int8_t length_arg;
  std::int8_t partner;
  std::uint8_t direction;
};

struct PackedSignature {
  std::uint64_t arches;  // bit n: ArchId n
  std::uint16_t name;    // index of AllSyscallNames()
  std::uint16_t first;   // of kShapeIndex
  std::uint8_t count;
};

#include "abi/generated/signatures.inc"

static_assert(kArchCount <= 64, "one bit an ABI");

std::string_view Text(std::uint16_t offset) { return kTextPool + offset; }

Argument Unpack(const PackedArgument& packed) {
  return {.name = Text(packed.name),
          .aliases = Text(packed.aliases),
          .c_type = Text(packed.c_type),
          .kind = static_cast<ArgKind>(packed.kind),
          .bits = packed.bits,
          .is_signed = packed.is_signed,
          .set = Text(packed.set),
          .flags_set = Text(packed.flags_set),
          .struct_name = Text(packed.struct_name),
          .length_arg = packed.length_arg,
          .direction = static_cast<Direction>(packed.direction),
          .pair_name = Text(packed.pair_name),
          .pair_aliases = Text(packed.pair_aliases),
          .partner = packed.partner,
          .pair_is_signed = packed.pair_is_signed};
}

bool ListHas(std::string_view list, std::string_view wanted) {
  while (!list.empty()) {
    const std::size_t bar = list.find('|');
    if (list.substr(0, bar) == wanted) return true;
    list = bar == std::string_view::npos ? std::string_view{} : list.substr(bar + 1);
  }
  return false;
}

// The unpacked arguments of a row, made when first asked for: a policy names a few dozen calls, and
// unpacking all of an ABI's takes longer than reading the policy.
Signature Unpacked(const PackedSignature& row) {
  static auto& mutex = *new std::mutex;
  static auto& cache = *new std::unordered_map<const PackedSignature*, std::vector<Argument>>;
  const std::scoped_lock lock(mutex);
  const auto [found, is_new] = cache.try_emplace(&row);
  if (is_new) {
    found->second.reserve(row.count);
    for (const std::uint16_t shape : std::span(kShapeIndex).subspan(row.first, row.count)) {
      found->second.push_back(Unpack(kShapes[shape]));
    }
  }
  return found->second;  // a node of the map: it stays where it is
}

std::optional<Signature> SignatureOfName(ArchId arch, std::string_view name) {
  const auto index = SyscallNameIndex(name);
  if (!index) return std::nullopt;
  const auto by_name = [](const PackedSignature& row) -> std::size_t { return row.name; };
  for (const PackedSignature& row : std::ranges::equal_range(kSignatures, *index, {}, by_name)) {
    if ((row.arches >> static_cast<unsigned>(arch) & 1) != 0) return Unpacked(row);
  }
  return std::nullopt;
}

}  // namespace

bool Argument::IsNamed(std::string_view wanted) const {
  return kind != ArgKind::kUnused && (name == wanted || ListHas(aliases, wanted));
}

bool Argument::PairIsNamed(std::string_view wanted) const {
  return partner >= 0 && (pair_name == wanted || ListHas(pair_aliases, wanted));
}

std::optional<Signature> SignatureOf(ArchId arch, std::string_view name) {
  const Syscall* call = FindSyscall(arch, name);
  if (call == nullptr) return std::nullopt;
  if (auto signature = SignatureOfName(arch, name)) return signature;
  // A second name of a number has the arguments of the first.
  return SignatureOfName(arch, FindSyscall(arch, call->nr)->name);
}

std::optional<NamedArgument> FindArgument(Signature signature, std::string_view name) {
  auto joined = [&](std::size_t i) {
    const Argument& argument = signature[i];
    CG_CHECK(argument.partner >= 0);
    const auto here = static_cast<std::uint8_t>(i);
    const auto there = static_cast<std::uint8_t>(argument.partner);
    const std::uint8_t low = argument.kind == ArgKind::kLowHalf ? here : there;
    const std::uint8_t high = argument.kind == ArgKind::kLowHalf ? there : here;
    return NamedArgument{&signature[low], low, high, 64, argument.pair_is_signed};
  };
  auto single = [&](std::size_t i) {
    const Argument& argument = signature[i];
    return NamedArgument{&argument, static_cast<std::uint8_t>(i), std::nullopt, argument.bits,
                         argument.is_signed};
  };
  for (std::size_t i = 0; i < signature.size(); ++i) {
    if (signature[i].kind != ArgKind::kUnused && signature[i].name == name) return single(i);
  }
  for (std::size_t i = 0; i < signature.size(); ++i) {
    if (signature[i].PairIsNamed(name)) return joined(i);
    if (signature[i].IsNamed(name)) return single(i);
  }
  return std::nullopt;
}

}  // namespace callgate::abi
