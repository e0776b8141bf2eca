#include "policy/call_text.h"

#include <algorithm>

#include "abi/constants.h"
#include "fmt/format.h"

namespace callgate::policy {
namespace {

std::int64_t SignExtend(std::uint64_t value, int bits) {
  if (bits >= 64) return static_cast<std::int64_t>(value);
  int unused = 64 - bits;
  return static_cast<std::int64_t>(value << unused) >> unused;
}

std::string Decimal(std::uint64_t value, int bits, bool is_signed) {
  if (is_signed) return fmt::format("{}", SignExtend(value, bits));
  return fmt::format("{}", value);
}

// Sizes and counts read best in decimal, but nobody reads 18446744073709551615.
std::string Quantity(std::uint64_t value, int bits, bool is_signed) {
  constexpr std::uint64_t kReadable = 1U << 30;
  bool small = value < kReadable || (is_signed && SignExtend(value, bits) < 0);
  return small ? Decimal(value, bits, is_signed) : fmt::format("{:#x}", value);
}

std::string Address(std::uint64_t value) {
  return value == 0 ? "NULL" : fmt::format("{:#x}", value);
}

std::string Device(std::uint64_t value) {
  // new_decode_dev of linux/kdev_t.h.
  return fmt::format("dev({}, {})", (value >> 8U) & 0xFFFU,
                     (value & 0xFFU) | ((value >> 12U) & 0xFFF00U));
}

std::string FormatValue(abi::ArchId arch, const abi::Argument& argument, std::uint64_t value,
                        int bits, bool is_signed) {
  switch (argument.kind) {
    case abi::ArgKind::kInteger:
    case abi::ArgKind::kVariant:
    case abi::ArgKind::kLowHalf:
    case abi::ArgKind::kHighHalf:
    case abi::ArgKind::kUnused:
      return Quantity(value, bits, is_signed);
    case abi::ArgKind::kFd:
    case abi::ArgKind::kPid:
    case abi::ArgKind::kId:
      // -1 means "none" or "all" even where the type is unsigned.
      return Decimal(value, bits, true);
    case abi::ArgKind::kDirFd:
      return SignExtend(value, bits) == -100 ? "AT_FDCWD" : Decimal(value, bits, true);
    case abi::ArgKind::kFlags:
      return abi::FormatFlags(arch, argument.set, value);
    case abi::ArgKind::kEnum:
      return abi::FormatEnum(arch, argument.set, argument.flags_set, value);
    case abi::ArgKind::kMode:
      return fmt::format("0o{:o}", value);
    case abi::ArgKind::kDev:
      return Device(value);
    case abi::ArgKind::kSignal: {
      auto name = abi::NameOfValue(arch, "signo", value);
      return name ? std::string(*name) : Decimal(value, bits, true);
    }
    case abi::ArgKind::kAddress:
    case abi::ArgKind::kPath:
    case abi::ArgKind::kString:
    case abi::ArgKind::kStringVector:
    case abi::ArgKind::kSockaddr:
    case abi::ArgKind::kStruct:
    case abi::ArgKind::kBuffer:
    case abi::ArgKind::kPointer:
      return Address(value);
  }
  return Address(value);
}

struct NamedCall {
  std::string name;
  std::optional<abi::ArchId> arch;
  std::optional<abi::Signature> signature;
};

NamedCall Identify(const abi::Call& call) {
  NamedCall named;
  named.arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* known = named.arch ? abi::FindSyscall(*named.arch, call.nr) : nullptr;
  named.name = known != nullptr ? std::string(known->name) : fmt::format("syscall_{}", call.nr);
  if (known != nullptr) named.signature = abi::SignatureOf(*named.arch, known->name);
  return named;
}

std::string Prefix(const NamedCall& named, const abi::Call& call, abi::ArchId home) {
  if (!named.arch) return fmt::format("arch_{:#x}.", call.arch);
  return *named.arch == home ? "" : fmt::format("{}.", abi::ArchOf(*named.arch).name);
}

std::vector<ArgumentText> FormatSlots(const NamedCall& named, const abi::Call& call) {
  std::vector<ArgumentText> texts;
  if (!named.signature) {
    for (std::uint8_t slot = 0; slot < 6; ++slot) {
      texts.push_back({fmt::format("arg{}", slot), fmt::format("{:#x}", call.args[slot]),
                       abi::ArgKind::kInteger, slot});
    }
    return texts;
  }
  for (std::size_t slot = 0; slot < named.signature->size(); ++slot) {
    const abi::Argument& argument = (*named.signature)[slot];
    bool is_second_half = argument.partner >= 0 && std::size_t(argument.partner) < slot;
    if (argument.kind == abi::ArgKind::kUnused || is_second_half) continue;
    std::string_view name = argument.partner >= 0 ? argument.pair_name : argument.name;
    auto found = abi::FindArgument(*named.signature, name);
    if (!found) continue;
    Operand operand;
    operand.slot = found->slot;
    operand.high_slot = found->high_slot;
    operand.bits = found->bits;
    std::uint64_t value = ValueOf(operand, call);
    texts.push_back({std::string(name),
                     FormatValue(*named.arch, argument, value, found->bits, found->is_signed),
                     argument.kind, found->slot});
  }
  return texts;
}

// Has a register bits that the kernel ignores, and that no extension of a sign leaves there? Then
// the argument in words would be another one's too.
bool IsMoreThanRead(const abi::Argument& argument, std::uint64_t value) {
  const std::uint64_t above = value >> 32U;
  return argument.bits <= 32 && above != 0 && above != UINT32_MAX;
}

enum class Ignored : std::uint8_t { kHidden, kShown };

std::string Join(const NamedCall& named, const abi::Call& call, abi::ArchId home,
                 const std::array<bool, 6>& is_any, Ignored ignored) {
  std::string text = Prefix(named, call, home) + named.name + "(";
  const char* separator = "";
  for (const ArgumentText& argument : FormatSlots(named, call)) {
    const std::uint64_t value = call.args[argument.slot];
    const bool is_whole = ignored == Ignored::kShown && named.signature &&
                          abi::ArchOf(*named.arch).bits == 64 &&
                          IsMoreThanRead((*named.signature)[argument.slot], value);
    text += separator;
    if (is_any[argument.slot]) {
      text += '*';
    } else {
      text += is_whole ? fmt::format("{:#x}", value) : argument.text;
    }
    separator = ", ";
  }
  return text + ")";
}

}  // namespace

std::vector<ArgumentText> FormatArguments(const abi::Call& call) {
  return FormatSlots(Identify(call), call);
}

std::string FormatCall(const abi::Call& call, abi::ArchId home) {
  return Join(Identify(call), call, home, {}, Ignored::kHidden);
}

std::string FormatWitness(const abi::Call& call, abi::ArchId home) {
  const NamedCall named = Identify(call);
  const std::string seen = Join(named, call, home, {}, Ignored::kHidden);
  const std::string whole = Join(named, call, home, {}, Ignored::kShown);
  return whole == seen ? seen : fmt::format("{}, to the kernel {}", whole, seen);
}

std::string FormatPattern(const CallPattern& pattern, abi::ArchId home) {
  return Join(Identify(pattern.call), pattern.call, home, pattern.is_any, Ignored::kShown);
}

}  // namespace callgate::policy
