// Values in words, for reports and listings. A value is taken apart largest constant first, so that
// O_SYNC is not printed as the O_DSYNC it contains; what no constant explains stays in hex, so the
// text always says the whole value.

#include "fmt/format.h"

#include <algorithm>
#include <array>
#include <bit>
#include <utility>

#include "abi/constants.h"

namespace callgate::abi {
namespace {

// Bits of a flag set that hold a number, not flags.
struct Field {
  std::string_view set;
  std::uint64_t mask;
  std::string_view values;  // set that names the numbers
  bool zero_has_name;       // O_RDONLY is worth saying, signal 0 is not
};
constexpr std::array kFields = {
    Field{"open_flags", 0x3, "open_flags", true},  // O_ACCMODE, equal on every ABI
    Field{"clone", 0xff, "signo", false},          // CSIGNAL
};

// Names that are not what a reader means by their value: masks of a field, old spellings, and
// constants that header files keep among commands they do not belong to. Used only where a value
// has no other name.
constexpr std::array<std::string_view, 19> kSecondChoice = {"O_ACCMODE",
                                                            "MAP_TYPE",
                                                            "CSIGNAL",
                                                            "MAP_FILE",
                                                            "O_NDELAY",
                                                            "SIGCLD",
                                                            "SIGPOLL",
                                                            "EDEADLOCK",
                                                            "EFSCORRUPTED",
                                                            "AF_FILE",
                                                            "AF_LOCAL",
                                                            "PF_FILE",
                                                            "PF_LOCAL",
                                                            "IPPROTO_HOPOPTS",
                                                            "PR_RSEQ_SLICE_EXTENSION_GET",
                                                            "PR_RSEQ_SLICE_EXTENSION_SET",
                                                            "PTRACE_PEEKSIGINFO_SHARED",
                                                            "SECCOMP_RET_ACTION",
                                                            "SECCOMP_RET_KILL"};

// The ioctl headers define small numbers that are arguments, not commands (TCSANOW is 0).
constexpr std::uint64_t kSmallestIoctl = 0x100;

bool IsFirstChoice(const Constant& constant) {
  return std::ranges::find(kSecondChoice, constant.name) == kSecondChoice.end();
}

// `constant` may be the sign-extended form of a 32-bit `value`.
bool SameValue(std::uint64_t constant, std::uint64_t value) {
  if (constant == value) return true;
  const bool is_negative_int = constant >> 31 == UINT64_MAX >> 31;
  return is_negative_int && value >> 32 == 0 && static_cast<std::uint32_t>(constant) == value;
}

void Append(std::string& text, std::string_view word) {
  if (!text.empty()) text += '|';
  text += word;
}

}  // namespace

std::optional<std::string_view> NameOfValue(ArchId arch, std::string_view set,
                                            std::uint64_t value) {
  if (set == "ioctl" && value < kSmallestIoctl) return std::nullopt;
  std::optional<std::string_view> second_choice;
  for (const Constant& constant : ConstantsOf(arch, set)) {
    if (!SameValue(constant.value, value)) continue;
    if (IsFirstChoice(constant)) return constant.name;
    if (!second_choice) second_choice = constant.name;
  }
  return second_choice;
}

std::string FormatFlags(ArchId arch, std::string_view set, std::uint64_t value) {
  std::string text;
  for (const Field& field : kFields) {
    if (field.set != set) continue;
    const std::uint64_t number = value & field.mask;
    if (number != 0 || field.zero_has_name) {
      const auto name = NameOfValue(arch, field.values, number);
      Append(text, name ? std::string(*name) : fmt::format("{:#x}", number));
    }
    value &= ~field.mask;
  }
  std::vector<Constant> constants = ConstantsOf(arch, set);
  std::erase_if(constants, [](const Constant& constant) { return !IsFirstChoice(constant); });
  if (value == 0) {
    if (!text.empty()) return text;
    const auto zero = std::ranges::find(constants, 0U, &Constant::value);
    return zero == constants.end() ? "0" : std::string(zero->name);
  }
  // Few bits last; table order among equals.
  std::vector<const Constant*> parts;
  std::vector<const Constant*> by_bits;
  by_bits.reserve(constants.size());
  for (const Constant& constant : constants) by_bits.push_back(&constant);
  std::ranges::sort(by_bits, {}, [](const Constant* constant) {
    return std::pair(-std::popcount(constant->value), constant);
  });
  std::uint64_t rest = value;
  for (const Constant* constant : by_bits) {
    if (constant->value == 0 || (constant->value & rest) != constant->value) continue;
    rest &= ~constant->value;
    parts.push_back(constant);
  }
  std::ranges::sort(parts);  // back to table order: `constants` is one array
  for (const Constant* part : parts) Append(text, part->name);
  if (rest != 0) Append(text, fmt::format("{:#x}", rest));
  return text;
}

std::string FormatEnum(ArchId arch, std::string_view set, std::string_view flags_set,
                       std::uint64_t value) {
  if (auto name = NameOfValue(arch, set, value)) return std::string(*name);
  std::uint64_t flag_bits = 0;
  if (!flags_set.empty()) {
    for (const Constant& flag : ConstantsOf(arch, flags_set)) flag_bits |= flag.value;
  }
  const std::uint64_t base = value & ~flag_bits;
  std::string text;
  if (auto name = NameOfValue(arch, set, base)) {
    text = *name;
  } else {
    text = base < 10 ? fmt::format("{}", base) : fmt::format("{:#x}", base);
  }
  if ((value & flag_bits) != 0) Append(text, FormatFlags(arch, flags_set, value & flag_bits));
  return text;
}

std::optional<std::string_view> ErrnoName(ArchId arch, std::uint32_t value) {
  return NameOfValue(arch, "errno", value);
}

}  // namespace callgate::abi
