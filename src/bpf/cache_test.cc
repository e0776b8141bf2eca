#include "bpf/cache.h"

#include <linux/audit.h>

#include <vector>

#include "abi/arch.h"
#include "bpf/opcodes.h"
#include "gtest/gtest.h"

namespace callgate::bpf {
namespace {

constexpr std::uint32_t kAllow = 0x7fff0000;
constexpr std::uint32_t kKill = 0x80000000;

constexpr Instruction At(Opcode opcode, std::uint32_t k = 0, std::uint8_t jt = 0,
                         std::uint8_t jf = 0) {
  return {static_cast<std::uint16_t>(opcode), jt, jf, k};
}

bool OnX86(const Program& program, std::uint32_t nr) {
  return IsConstantAllow(program, nr, AUDIT_ARCH_X86_64);
}

TEST(Cache, NumbersAllowedWhateverTheirArgumentsAre) {
  // 5 always; 6 if the first argument is 0; the rest never.
  const Program program = {
      At(Opcode::kLdAbs, 4),      At(Opcode::kJeqK, AUDIT_ARCH_X86_64, 0, 6),
      At(Opcode::kLdAbs, 0),      At(Opcode::kJeqK, 5, 3, 0),
      At(Opcode::kJeqK, 6, 0, 3), At(Opcode::kLdAbs, 16),
      At(Opcode::kJeqK, 0, 0, 1), At(Opcode::kRetK, kAllow),
      At(Opcode::kRetK, kKill),
  };
  EXPECT_TRUE(OnX86(program, 5));
  EXPECT_FALSE(OnX86(program, 6));
  EXPECT_FALSE(OnX86(program, 7));
  EXPECT_FALSE(IsConstantAllow(program, 5, AUDIT_ARCH_I386));
}

TEST(Cache, EveryJumpAndTheMaskAreFollowed) {
  const Program program = {
      At(Opcode::kLdAbs, 0),     At(Opcode::kAndK, 0xff),      At(Opcode::kJgtK, 200, 0, 1),
      At(Opcode::kRetK, kKill),  At(Opcode::kJgeK, 100, 0, 2), At(Opcode::kJa, 0),
      At(Opcode::kRetK, kAllow), At(Opcode::kJsetK, 8, 0, 1),  At(Opcode::kRetK, kAllow),
      At(Opcode::kRetK, kKill),
  };
  for (std::uint32_t nr = 0; nr < 600; ++nr) {
    const std::uint32_t a = nr & 0xff;
    EXPECT_EQ(OnX86(program, nr), a <= 200 && (a >= 100 || (a & 8) != 0)) << nr;
  }
}

TEST(Cache, InstructionThatChangesNothingEndsTheSearch) {
  for (const OpcodeInfo& info : AllOpcodes()) {
    if (!info.seccomp || info.effect == Effect::kReturn) continue;
    const Program program = {At(Opcode::kSt, 0),
                             {static_cast<std::uint16_t>(info.opcode), 0, 0, 0},
                             At(Opcode::kRetK, kAllow)};
    EXPECT_FALSE(OnX86(program, 1)) << info.mnemonic;
    const ProgramView without_store(program.begin() + 1, program.end());
    EXPECT_EQ(IsConstantAllow(without_store, 1, AUDIT_ARCH_X86_64), info.emulated) << info.mnemonic;
  }
}

TEST(Cache, OnlyNumberAndArchAreKnown) {
  for (std::uint32_t offset = 0; offset < kDataLength; offset += 4) {
    EXPECT_EQ(OnX86({At(Opcode::kLdAbs, offset), At(Opcode::kRetK, kAllow)}, 1), offset <= 4)
        << offset;
  }
}

TEST(Cache, OnlyAllowWithoutDataIsKept) {
  EXPECT_TRUE(OnX86({At(Opcode::kRetK, kAllow)}, 1));
  EXPECT_FALSE(OnX86({At(Opcode::kRetK, kAllow | 1)}, 1));
  EXPECT_FALSE(OnX86({At(Opcode::kRetK, 0x7ffc0000)}, 1));  // log
  EXPECT_FALSE(OnX86({At(Opcode::kRetK, 0x00050000)}, 1));  // errno(0)
  EXPECT_FALSE(OnX86({At(Opcode::kRetA)}, 1));
}

TEST(Cache, NumbersThatTheKernelHasNoBitFor) {
  const Program allow_all = {At(Opcode::kRetK, kAllow)};
  EXPECT_TRUE(IsConstantAllow(allow_all, 400, AUDIT_ARCH_I386));
  EXPECT_TRUE(IsConstantAllow(allow_all, 400, AUDIT_ARCH_AARCH64));
  EXPECT_FALSE(OnX86(allow_all, abi::kX32Bit | 1));
  EXPECT_FALSE(OnX86(allow_all, 0xffffffff));
  EXPECT_FALSE(OnX86(allow_all, 0x80000001));
  EXPECT_FALSE(IsConstantAllow(allow_all, 4001, AUDIT_ARCH_MIPS));
  EXPECT_FALSE(IsConstantAllow(allow_all, 1, 0x12345678));
}

TEST(Cache, EveryFilterOfStackMustAllow) {
  const Program allow_all = {At(Opcode::kRetK, kAllow)};
  const Program not_five = {At(Opcode::kLdAbs, 0), At(Opcode::kJeqK, 5, 0, 1),
                            At(Opcode::kRetK, kKill), At(Opcode::kRetK, kAllow)};
  const std::vector<ProgramView> stack = {allow_all, not_five, allow_all};
  EXPECT_TRUE(IsConstantAllow(stack, 4, AUDIT_ARCH_X86_64));
  EXPECT_FALSE(IsConstantAllow(stack, 5, AUDIT_ARCH_X86_64));
}

}  // namespace
}  // namespace callgate::bpf
