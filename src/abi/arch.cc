#include "abi/arch.h"

#include <array>
#include <cstddef>
#include <iterator>
#include <utility>

#include "base/check.h"

namespace callgate::abi {
namespace {

#include "abi/generated/arches.inc"

static_assert(std::size(kArches) == kArchCount);
static_assert(
    [] {
      for (std::size_t i = 0; i < std::size(kArches); ++i) {
        if (kArches[i].id != ArchId{static_cast<std::uint8_t>(i)}) return false;
      }
      return true;
    }(),
    "ArchOf indexes by ArchId");

// Names that uname(1), Debian, GCC, OCI and libseccomp use for the same ABIs.
constexpr std::pair<std::string_view, ArchId> kAliases[] = {
    {"amd64", ArchId::kX86_64},
    {"x86-64", ArchId::kX86_64},
    {"x86", ArchId::kI386},
    {"i486", ArchId::kI386},
    {"i586", ArchId::kI386},
    {"i686", ArchId::kI386},
    {"ia32", ArchId::kI386},
    {"x86_x32", ArchId::kX32},
    {"arm64", ArchId::kAarch64},
    {"armel", ArchId::kArm},
    {"armhf", ArchId::kArm},
    {"armv7l", ArchId::kArm},
    {"ppc64el", ArchId::kPpc64le},
    {"powerpc64le", ArchId::kPpc64le},
    {"powerpc64", ArchId::kPpc64},
    {"powerpc", ArchId::kPpc},
    {"n64", ArchId::kMips64},
    {"n32", ArchId::kMips64n32},

    {"mips64el", ArchId::kMipsel64},
    {"loong64", ArchId::kLoongarch64},
    {"hppa", ArchId::kParisc},
    {"hppa64", ArchId::kParisc64},
    {"sh4", ArchId::kSh},
    {"or1k", ArchId::kOpenrisc},
};

}  // namespace

const Arch& ArchOf(ArchId id) {
  const auto index = static_cast<std::size_t>(id);
  CG_CHECK(index < std::size(kArches));
  return kArches[index];
}

std::span<const Arch> AllArches() { return kArches; }

std::optional<ArchId> FindArch(std::string_view name) {
  for (const Arch& arch : kArches) {
    if (arch.name == name) return arch.id;
  }
  for (const auto& [alias, id] : kAliases) {
    if (alias == name) return id;
  }
  return std::nullopt;
}

ArchId NativeArch() {
#if defined(__x86_64__) && defined(__ILP32__)
  return ArchId::kX32;
#elif defined(__x86_64__)
  return ArchId::kX86_64;
#elif defined(__i386__)
  return ArchId::kI386;
#elif defined(__aarch64__)
  return ArchId::kAarch64;
#elif defined(__arm__) && defined(__ARMEB__)
  return ArchId::kArmeb;
#elif defined(__arm__)
  return ArchId::kArm;
#elif defined(__riscv) && __riscv_xlen == 64
  return ArchId::kRiscv64;
#elif defined(__riscv)
  return ArchId::kRiscv32;
#elif defined(__powerpc64__) && defined(__LITTLE_ENDIAN__)
  return ArchId::kPpc64le;
#elif defined(__powerpc64__)
  return ArchId::kPpc64;
#elif defined(__powerpc__)
  return ArchId::kPpc;
#elif defined(__s390x__)
  return ArchId::kS390x;
#elif defined(__mips__) && defined(_ABI64) && _MIPS_SIM == _ABI64
  return std::endian::native == std::endian::little ? ArchId::kMipsel64 : ArchId::kMips64;
#elif defined(__mips__) && defined(_ABIN32) && _MIPS_SIM == _ABIN32
  return std::endian::native == std::endian::little ? ArchId::kMipsel64n32 : ArchId::kMips64n32;
#elif defined(__mips__)
  return std::endian::native == std::endian::little ? ArchId::kMipsel : ArchId::kMips;
#elif defined(__loongarch__) && __loongarch_grlen == 64
  return ArchId::kLoongarch64;
#elif defined(__hppa__)
  return ArchId::kParisc;
#elif defined(__m68k__)
  return ArchId::kM68k;
#elif defined(__sh__)
  return std::endian::native == std::endian::little ? ArchId::kSh : ArchId::kSheb;
#elif defined(__sparc__) && defined(__arch64__)
  return ArchId::kSparc64;
#elif defined(__sparc__)
  return ArchId::kSparc;
#elif defined(__alpha__)
  return ArchId::kAlpha;
#else
#error "this ABI is not in data/arches.tsv"
#endif
}

std::span<const ArchId> CompatArches(ArchId native) {
  // arch/*/Kconfig, COMPAT and the ABI options below it.
  static constexpr std::array kX86 = {ArchId::kI386, ArchId::kX32};
  static constexpr std::array kArm64 = {ArchId::kArm};
  static constexpr std::array kRiscv = {ArchId::kRiscv32};
  static constexpr std::array kPower = {ArchId::kPpc};
  static constexpr std::array kS390 = {ArchId::kS390};
  static constexpr std::array kMipsBig = {ArchId::kMips, ArchId::kMips64n32};
  static constexpr std::array kMipsLittle = {ArchId::kMipsel, ArchId::kMipsel64n32};
  static constexpr std::array kParisc = {ArchId::kParisc};
  static constexpr std::array kSparc = {ArchId::kSparc};
  switch (native) {
    case ArchId::kX86_64:
      return kX86;
    case ArchId::kAarch64:
      return kArm64;
    case ArchId::kRiscv64:
      return kRiscv;
    case ArchId::kPpc64:
      return kPower;
    case ArchId::kS390x:
      return kS390;
    case ArchId::kMips64:
      return kMipsBig;
    case ArchId::kMipsel64:
      return kMipsLittle;
    case ArchId::kParisc64:
      return kParisc;
    case ArchId::kSparc64:
      return kSparc;
    default:  // every other ABI runs alone; a new enumerator does too until it is listed above
      return {};
  }
}

std::optional<ArchId> ArchOfCall(std::uint32_t audit_arch, std::int32_t nr) {
  const auto number = static_cast<std::uint32_t>(nr);
  const bool is_x32 =
      audit_arch == ArchOf(ArchId::kX32).audit_arch && kX32Bit <= number && number <= kX32Last;
  if (is_x32) return ArchId::kX32;
  for (const Arch& arch : kArches) {
    if (arch.audit_arch == audit_arch) return arch.id;  // x86_64 stands before x32
  }
  return std::nullopt;
}

}  // namespace callgate::abi
