#include "abi/arch.h"

#include <linux/audit.h>

#include "abi/call.h"
#include "abi/version.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace callgate::abi {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

TEST(Arch, AuditValuesAreThoseOfTheHeader) {
  const std::pair<ArchId, std::uint32_t> kExpected[] = {
      {ArchId::kX86_64, AUDIT_ARCH_X86_64},
      {ArchId::kI386, AUDIT_ARCH_I386},
      {ArchId::kX32, AUDIT_ARCH_X86_64},
      {ArchId::kAarch64, AUDIT_ARCH_AARCH64},
      {ArchId::kArm, AUDIT_ARCH_ARM},
      {ArchId::kArmeb, AUDIT_ARCH_ARMEB},
      {ArchId::kRiscv64, AUDIT_ARCH_RISCV64},
      {ArchId::kRiscv32, AUDIT_ARCH_RISCV32},
      {ArchId::kPpc64le, AUDIT_ARCH_PPC64LE},
      {ArchId::kPpc64, AUDIT_ARCH_PPC64},
      {ArchId::kPpc, AUDIT_ARCH_PPC},
      {ArchId::kS390x, AUDIT_ARCH_S390X},
      {ArchId::kS390, AUDIT_ARCH_S390},
      {ArchId::kMips, AUDIT_ARCH_MIPS},
      {ArchId::kMipsel, AUDIT_ARCH_MIPSEL},
      {ArchId::kMips64, AUDIT_ARCH_MIPS64},
      {ArchId::kMipsel64, AUDIT_ARCH_MIPSEL64},
      {ArchId::kMips64n32, AUDIT_ARCH_MIPS64N32},
      {ArchId::kMipsel64n32, AUDIT_ARCH_MIPSEL64N32},
      {ArchId::kParisc, AUDIT_ARCH_PARISC},
      {ArchId::kParisc64, AUDIT_ARCH_PARISC64},
      {ArchId::kM68k, AUDIT_ARCH_M68K},
      {ArchId::kSh, AUDIT_ARCH_SHEL},
      {ArchId::kSheb, AUDIT_ARCH_SH},
      {ArchId::kSparc, AUDIT_ARCH_SPARC},
      {ArchId::kSparc64, AUDIT_ARCH_SPARC64},
      {ArchId::kAlpha, AUDIT_ARCH_ALPHA},
      {ArchId::kXtensa, AUDIT_ARCH_XTENSA},
      {ArchId::kMicroblaze, AUDIT_ARCH_MICROBLAZE},
      {ArchId::kArc, AUDIT_ARCH_ARCV2},
      {ArchId::kCsky, AUDIT_ARCH_CSKY},
      {ArchId::kOpenrisc, AUDIT_ARCH_OPENRISC},
      {ArchId::kHexagon, AUDIT_ARCH_HEXAGON},
      {ArchId::kNios2, AUDIT_ARCH_NIOS2},
      {ArchId::kLoongarch64, AUDIT_ARCH_LOONGARCH64},
  };
  EXPECT_EQ(std::size(kExpected), kArchCount);
  for (const auto& [id, value] : kExpected)
    EXPECT_EQ(ArchOf(id).audit_arch, value) << ArchOf(id).name;
}

TEST(Arch, ByteOrderTwinsDifferFromTheirSiblingOnlyInOrderAndAuditValue) {
  int twins = 0;
  for (const Arch& arch : AllArches()) {
    if (arch.tables == arch.id) continue;
    ++twins;
    const Arch& sibling = ArchOf(arch.tables);
    EXPECT_EQ(sibling.tables, sibling.id);
    EXPECT_NE(arch.endian, sibling.endian) << arch.name;
    EXPECT_EQ(arch.audit_arch ^ sibling.audit_arch, std::uint32_t{__AUDIT_ARCH_LE}) << arch.name;
    EXPECT_EQ(arch.bits, sibling.bits) << arch.name;
    EXPECT_EQ(arch.nr_base, sibling.nr_base) << arch.name;
  }
  EXPECT_EQ(twins, 5);
}

TEST(Arch, RegistersOfX32AndN32Are64BitsWide) {
  EXPECT_EQ(ArchOf(ArchId::kX32).bits, 64);
  EXPECT_EQ(ArchOf(ArchId::kMips64n32).bits, 64);
  EXPECT_EQ(ArchOf(ArchId::kI386).bits, 32);
  EXPECT_EQ(ArchOf(ArchId::kX86_64).bits, 64);
}

TEST(Arch, IsFoundByNameAndUsualAlias) {
  for (const Arch& arch : AllArches()) EXPECT_EQ(FindArch(arch.name), arch.id);
  const std::pair<std::string_view, ArchId> kAliases[] = {
      {"amd64", ArchId::kX86_64}, {"x86-64", ArchId::kX86_64},     {"x86", ArchId::kI386},
      {"i686", ArchId::kI386},    {"arm64", ArchId::kAarch64},     {"ppc64el", ArchId::kPpc64le},
      {"armhf", ArchId::kArm},    {"mips64el", ArchId::kMipsel64}, {"hppa", ArchId::kParisc},
  };
  for (const auto& [name, id] : kAliases) EXPECT_EQ(FindArch(name), id) << name;
  EXPECT_EQ(FindArch("x86_46"), std::nullopt);
  EXPECT_EQ(FindArch(""), std::nullopt);
  EXPECT_EQ(FindArch("X86_64"), std::nullopt);
}

TEST(Arch, NativeAbiIsTheCompilers) {
#if defined(__x86_64__) && !defined(__ILP32__)
  EXPECT_EQ(NativeArch(), ArchId::kX86_64);
#endif
  EXPECT_EQ(ArchOf(NativeArch()).endian, std::endian::native);
}

TEST(Arch, CompatAbisAreThoseTheKernelCanRunBeside) {
  EXPECT_THAT(CompatArches(ArchId::kX86_64), ElementsAre(ArchId::kI386, ArchId::kX32));
  EXPECT_THAT(CompatArches(ArchId::kAarch64), ElementsAre(ArchId::kArm));
  EXPECT_THAT(CompatArches(ArchId::kMipsel64), ElementsAre(ArchId::kMipsel, ArchId::kMipsel64n32));
  EXPECT_THAT(CompatArches(ArchId::kPpc64le), IsEmpty());
  EXPECT_THAT(CompatArches(ArchId::kI386), IsEmpty());
  for (const Arch& arch : AllArches()) {
    for (ArchId compat : CompatArches(arch.id)) {
      EXPECT_EQ(ArchOf(compat).endian, arch.endian) << arch.name;
      EXPECT_EQ(arch.bits, 64) << arch.name;
    }
  }
}

TEST(Arch, NumbersFrom2To30OnAreOfX32) {
  constexpr std::uint32_t kAudit = AUDIT_ARCH_X86_64;
  EXPECT_EQ(ArchOfCall(kAudit, 0), ArchId::kX86_64);
  EXPECT_EQ(ArchOfCall(kAudit, 0x3fffffff), ArchId::kX86_64);
  EXPECT_EQ(ArchOfCall(kAudit, 0x40000000), ArchId::kX32);
  EXPECT_EQ(ArchOfCall(kAudit, 0x7fffffff), ArchId::kX32);
  EXPECT_EQ(ArchOfCall(kAudit, INT32_MIN), ArchId::kX32);
  EXPECT_EQ(ArchOfCall(kAudit, -2), ArchId::kX32);
  // What a tracer writes to skip a call.
  EXPECT_EQ(ArchOfCall(kAudit, -1), ArchId::kX86_64);
}

TEST(Arch, OtherAbisHaveNoX32Bit) {
  EXPECT_EQ(ArchOfCall(AUDIT_ARCH_I386, 0x40000001), ArchId::kI386);
  EXPECT_EQ(ArchOfCall(AUDIT_ARCH_AARCH64, -1), ArchId::kAarch64);
  EXPECT_EQ(ArchOfCall(AUDIT_ARCH_MIPSEL64N32, 6000), ArchId::kMipsel64n32);
  EXPECT_EQ(ArchOfCall(0, 0), std::nullopt);
  EXPECT_EQ(ArchOfCall(0xffffffff, 0), std::nullopt);
  for (const Arch& arch : AllArches()) {
    EXPECT_EQ(ArchOfCall(arch.audit_arch, static_cast<std::int32_t>(arch.nr_base)), arch.id);
  }
}

TEST(Call, WordsAndCallAreInverse) {
  const Call call{.nr = -5,
                  .arch = 0xC000003E,
                  .ip = 0x1122334455667788,
                  .args = {1, 2ULL << 32, 0xffffffffffffffff, 4, 5, 0x123456789abcdef0}};
  for (std::endian order : {std::endian::little, std::endian::big}) {
    EXPECT_EQ(CallOf(WordsOf(call, order), order), call);
  }
  EXPECT_EQ(WordsOf(call, std::endian::little)[ArgLowWord(5, std::endian::little)], 0x9abcdef0U);
  EXPECT_EQ(WordsOf(call, std::endian::little)[14], 0x9abcdef0U);
  EXPECT_EQ(WordsOf(call, std::endian::big)[14], 0x12345678U);
  EXPECT_EQ(WordsOf(call, std::endian::big)[2], 0x11223344U);
}

TEST(KernelVersion, ReadsReleases) {
  EXPECT_EQ(ParseKernelVersion("6.18"), (KernelVersion{6, 18}));
  EXPECT_EQ(ParseKernelVersion("6.18.44-amd64"), (KernelVersion{6, 18}));
  EXPECT_EQ(ParseKernelVersion("2.6.39"), (KernelVersion{2, 6}));
  EXPECT_EQ(ParseKernelVersion("5.10-rc1"), (KernelVersion{5, 10}));
  for (std::string_view bad : {"", "6", "6.", ".5", "v6.1", "6.x", "-6.1", "99999.1", " 6.1"}) {
    EXPECT_EQ(ParseKernelVersion(bad), std::nullopt) << bad;
  }
  EXPECT_EQ(ToString(KernelVersion{5, 9}), "5.9");
  EXPECT_LT((KernelVersion{5, 9}), (KernelVersion{5, 10}));
}

}  // namespace
}  // namespace callgate::abi
