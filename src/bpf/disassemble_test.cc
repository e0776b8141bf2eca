#include "bpf/disassemble.h"

#include "bpf/opcodes.h"
#include "gtest/gtest.h"

namespace callgate::bpf {
namespace {

constexpr Instruction At(Opcode opcode, std::uint32_t k = 0, std::uint8_t jt = 0,
                         std::uint8_t jf = 0) {
  return {static_cast<std::uint16_t>(opcode), jt, jf, k};
}

TEST(Disassemble, NamesWordsCallsArchesAndActions) {
  const Program program = {
      At(Opcode::kLdAbs, 4),
      At(Opcode::kJeqK, 0xc000003e, 1, 0),
      At(Opcode::kRetK, 0x80000000),
      At(Opcode::kLdAbs, 0),
      At(Opcode::kJgeK, 0x40000000, 6, 0),
      At(Opcode::kJeqK, 257, 0, 4),
      At(Opcode::kLdAbs, 32),
      At(Opcode::kAndK, 3),
      At(Opcode::kJeqK, 1, 2, 0),
      At(Opcode::kLdAbs, 36),
      At(Opcode::kJsetK, 0x80, 0, 1),
      At(Opcode::kRetK, 0x00050001),
      At(Opcode::kRetK, 0x7fff0000),
  };
  EXPECT_EQ(Disassemble(program), R"(l0:    ld [4]                           ; arch
l1:    jeq #0xc000003e, l3, l2          ; arch == x86_64
l2:    ret #0x80000000                  ; kill
l3:    ld [0]                           ; nr
l4:    jge #0x40000000, l11, l5         ; nr >= 0x40000000 (x32)
l5:    jeq #257, l6, l10                ; nr == openat
l6:    ld [32]                          ; arg2.lo
l7:    and #3
l8:    jeq #1, l11, l9                  ; (arg2.lo & 0x3) == 0x1
l9:    ld [36]                          ; arg2.hi
l10:   jset #0x80, l11, l12
l11:   ret #0x50001                     ; errno(EPERM)
l12:   ret #0x7fff0000                  ; allow
)");
}

TEST(Disassemble, TakesTheNumbersOfTheArchOnTheWay) {
  // getpid is 39 on x86_64 and 20 on i386; where both ways meet no name is right.
  const Program program = {At(Opcode::kLdAbs, 4),        At(Opcode::kJeqK, 0x40000003, 0, 2),
                           At(Opcode::kLdAbs, 0),        At(Opcode::kJeqK, 20, 4, 2),
                           At(Opcode::kLdAbs, 0),        At(Opcode::kJeqK, 20, 2, 0),
                           At(Opcode::kJeqK, 20, 1, 0),  At(Opcode::kRetK, 0),
                           At(Opcode::kRetK, 0x7fff0000)};
  EXPECT_EQ(Disassemble(program), R"(l0:    ld [4]                           ; arch
l1:    jeq #0x40000003, l2, l4          ; arch == i386
l2:    ld [0]                           ; nr
l3:    jeq #20, l8, l6                  ; nr == getpid
l4:    ld [0]                           ; nr
l5:    jeq #20, l8, l6                  ; nr == 20
l6:    jeq #20, l8, l7                  ; nr == 20
l7:    ret #0                           ; kill_thread
l8:    ret #0x7fff0000                  ; allow
)");
}

TEST(Disassemble, NamesNumbersBeforeTheOneAbiIsAskedForButNotBehindItsDenial) {
  const Program program = {At(Opcode::kLdAbs, 0),         At(Opcode::kJeqK, 20, 0, 4),
                           At(Opcode::kLdAbs, 4),         At(Opcode::kJeqK, 0x40000003, 2, 0),
                           At(Opcode::kLdAbs, 0),         At(Opcode::kJeqK, 39, 0, 1),
                           At(Opcode::kRetK, 0x7fff0000), At(Opcode::kRetK, 0)};
  EXPECT_EQ(Disassemble(program), R"(l0:    ld [0]                           ; nr
l1:    jeq #20, l2, l6                  ; nr == getpid
l2:    ld [4]                           ; arch
l3:    jeq #0x40000003, l6, l4          ; arch == i386
l4:    ld [0]                           ; nr
l5:    jeq #39, l6, l7                  ; nr == 39
l6:    ret #0x7fff0000                  ; allow
l7:    ret #0                           ; kill_thread
)");
}

TEST(Disassemble, OnlyWhatIsComparedWithTheNumberIsDecimal) {
  const Program program = {At(Opcode::kLdAbs, 0), At(Opcode::kJgeK, 257, 2, 0),
                           At(Opcode::kJsetK, 0x100, 1, 0), At(Opcode::kAndK, 0x1ff),
                           At(Opcode::kRetK, 0x50001)};
  EXPECT_EQ(Disassemble(program), R"(l0:    ld [0]                           ; nr
l1:    jge #257, l4, l2                 ; nr >= 257
l2:    jset #0x100, l4, l3              ; (nr & 0x100) != 0
l3:    and #0x1ff
l4:    ret #0x50001                     ; errno(EPERM)
)");
}

TEST(Disassemble, HalvesFollowTheByteOrderOfTheFiltersArch) {
  const Program program = {At(Opcode::kLdAbs, 4), At(Opcode::kJeqK, 0x80000016, 0, 2),
                           At(Opcode::kLdAbs, 16), At(Opcode::kLdAbs, 8), At(Opcode::kRetA)};
  EXPECT_EQ(Disassemble(program), R"(l0:    ld [4]                           ; arch
l1:    jeq #0x80000016, l2, l4          ; arch == s390x
l2:    ld [16]                          ; arg0.hi
l3:    ld [8]                           ; ip.hi
l4:    ret a
)");
}

TEST(Disassemble, WritesWhatHasNoFormAsRawInstructions) {
  const Program program = {{0x55, 1, 2, 3},   {0x07, 9, 0, 0},    {0x05, 0, 0, 100},
                           {0x50, 0, 0, 4},   {0x15, 200, 0, 16}, {0x06, 0, 0, 0x12345678},
                           {0x20, 0, 0, 0x40}};
  EXPECT_EQ(Disassemble(program), R"(l0:    .insn 0x0055, 1, 2, 0x3          ; no such instruction
l1:    .insn 0x0007, 9, 0, 0x0          ; tax
l2:    .insn 0x0005, 0, 0, 0x64         ; ja l103
l3:    ldb [x+4]                        ; unreachable
l4:    .insn 0x0015, 200, 0, 0x10       ; jeq #0x10, l205, l5
l5:    ret #0x12345678                  ; unreachable
l6:    ld [64]                          ; unreachable
)");
  EXPECT_EQ(Disassemble({}), "");
}

}  // namespace
}  // namespace callgate::bpf
