#include "bpf/verify.h"

#include <string>
#include <vector>

#include "bpf/opcodes.h"
#include "gtest/gtest.h"

namespace callgate::bpf {
namespace {

constexpr Instruction kRet{0x06, 0, 0, 0x7fff0000};

std::string Message(const Program& program) {
  auto result = Verify(program);
  return result ? "accepted" : result.error().message;
}

struct Case {
  const char* name;
  Program program;
  std::string message;
};

void Check(const std::vector<Case>& cases) {
  for (const Case& c : cases) EXPECT_EQ(Message(c.program), c.message) << c.name;
}

TEST(Verify, ProgramLengthLimits) {
  EXPECT_EQ(Message({}), "the program is empty; a filter has 1 to 4096 instructions");
  EXPECT_EQ(Message(Program(1, kRet)), "accepted");
  EXPECT_EQ(Message(Program(4096, kRet)), "accepted");
  EXPECT_EQ(Message(Program(4097, kRet)),
            "the program has 4097 instructions; the kernel's limit is 4096");
}

TEST(Verify, EveryCodeIsAcceptedOrRefusedAsTheTableSays) {
  for (std::uint32_t code = 0; code <= 0xffff; ++code) {
    // k = 4 is a good offset, cell, divisor, shift and distance.
    Program program = {
        {0x00, 0, 0, 1}, {0x02, 0, 0, 4}, {static_cast<std::uint16_t>(code), 0, 0, 4}};
    program.insert(program.end(), 6, kRet);
    const OpcodeInfo* info = FindOpcode(static_cast<std::uint16_t>(code));
    EXPECT_EQ(Verify(program).has_value(), info != nullptr && info->seccomp) << code;
  }
}

TEST(Verify, RefusedInstructionsAreNamedWithTheWayOut) {
  Check({
      {"unknown",
       {{0x55, 0, 0, 0}, kRet},
       "instruction 0: code 0x0055 is no classic BPF instruction"},
      {"above a byte",
       {{0x120, 0, 0, 0}, kRet},
       "instruction 0: code 0x0120 is no classic BPF instruction"},
      {"byte load",
       {{0x50, 0, 0, 0}, kRet},
       "instruction 0, 'ldb [x+0]': not allowed in seccomp filters; load an aligned word, ld [0] "
       "to ld [60]"},
      {"half load",
       {{0x28, 0, 0, 4}, kRet},
       "instruction 0, 'ldh [4]': not allowed in seccomp filters; load an aligned word, ld [0] to "
       "ld [60]"},
      {"header length",
       {{0xb1, 0, 0, 14}, kRet},
       "instruction 0, 'ldxb 4*([14]&0xf)': not allowed in seccomp filters"},
      {"modulo",
       {{0x94, 0, 0, 3}, kRet},
       "instruction 0, 'mod #3': not allowed in seccomp filters; use div, mul and sub, or and for "
       "a power of two"},
      {"ret x",
       {{0x0e, 0, 0, 0}, kRet},
       "instruction 0, 'ret x': not allowed; move X into A with txa, then ret a"},
  });
}

TEST(Verify, OperandLimits) {
  Check({
      {"last word", {{0x20, 0, 0, 60}, kRet}, "accepted"},
      {"behind the last word",
       {{0x20, 0, 0, 64}, kRet},
       "instruction 0, 'ld [64]': a call has 64 bytes; the last word is [60]"},
      {"ancillary data",
       {{0x20, 0, 0, 0xfffff000}, kRet},
       "instruction 0, 'ld [4294963200]': a call has 64 bytes; the last word is [60]"},
      {"between words",
       {{0x20, 0, 0, 6}, kRet},
       "instruction 0, 'ld [6]': a word starts at a multiple of 4"},
      {"shift by 31", {{0x64, 0, 0, 31}, kRet}, "accepted"},
      {"shift by 32",
       {{0x64, 0, 0, 32}, kRet},
       "instruction 0, 'lsh #0x20': a register has 32 bits; shift by 0 to 31"},
      {"right shift by 32",
       {{0x74, 0, 0, 32}, kRet},
       "instruction 0, 'rsh #0x20': a register has 32 bits; shift by 0 to 31"},
      {"division by zero", {{0x34, 0, 0, 0}, kRet}, "instruction 0, 'div #0': division by zero"},
      {"division by X, which may be zero", {{0x3c, 0, 0, 0}, kRet}, "accepted"},
      {"last cell", {{0x02, 0, 0, 15}, kRet}, "accepted"},
      {"behind the last cell",
       {{0x03, 0, 0, 16}, kRet},
       "instruction 0, 'stx M[16]': scratch memory has the cells M[0] to M[15]"},
      {"unused fields", {{0x07, 9, 9, 9}, {0x16, 9, 9, 9}}, "accepted"},
  });
}

TEST(Verify, JumpLimits) {
  Check({
      {"to the last", {{0x15, 1, 0, 0}, kRet, kRet}, "accepted"},
      {"true past the end",
       {{0x15, 2, 0, 0}, kRet, kRet},
       "instruction 0, 'jeq #0, l3, l1': jumps past the end; the last instruction is l2"},
      {"false past the end",
       {{0x4d, 0, 255, 0}, kRet, kRet},
       "instruction 0, 'jset x, l1, l256': jumps past the end; the last instruction is l2"},
      {"always past the end",
       {{0x05, 0, 0, 1}, kRet},
       "instruction 0, 'ja l2': jumps past the end; the last instruction is l1"},
      {"backwards by overflow",
       {{0x05, 0, 0, 0xffffffff}, kRet},
       "instruction 0, 'ja l4294967296': jumps past the end; the last instruction is l1"},
      {"last is no ret",
       {kRet, {0x00, 0, 0, 0}},
       "instruction 1, 'ld #0': the last instruction must be ret"},
      {"last is ret a", {{0x16, 0, 0, 0}}, "accepted"},
  });
}

TEST(Verify, ScratchMemoryIsReadOnlyAfterEveryWayWroteIt) {
  constexpr const char* kUnwritten =
      "read before every way here has written it (the kernel counts falling through a ret as a "
      "way)";
  const Instruction st0{0x02, 0, 0, 0};
  const Instruction ld0{0x60, 0, 0, 0};
  const Instruction ldx0{0x61, 0, 0, 0};
  Check({
      {"written", {st0, ld0, kRet}, "accepted"},
      {"by stx", {{0x03, 0, 0, 0}, ldx0, kRet}, "accepted"},
      {"never written", {ld0, kRet}, std::string("instruction 0, 'ld M[0]': ") + kUnwritten},
      {"on one side only",
       {{0x15, 0, 1, 0}, st0, ldx0, kRet},
       std::string("instruction 2, 'ldx M[0]': ") + kUnwritten},
      {"on both sides", {{0x15, 0, 2, 0}, st0, {0x05, 0, 0, 1}, st0, ld0, kRet}, "accepted"},
      {"unreachable behind ja", {{0x05, 0, 0, 1}, ld0, kRet}, "accepted"},
  });
}

// No way leads from a ret to the next instruction; a sound analysis would accept this program. The
// kernel's pass keeps its mask over the ret, finds M[0] unwritten and refuses.
TEST(Verify, MaskIsNotResetBehindRetAsInTheKernel) {
  const Program program = {{0x15, 1, 0, 0}, kRet, {0x05, 0, 0, 0}, kRet};
  EXPECT_EQ(Message(program), "accepted");
  const Program quirk = {
      {0x15, 0, 2, 0},  // jeq #0, l1, l3
      {0x06, 0, 0, 0},  // ret: l2 is unreachable …
      {0x60, 0, 0, 0},  // … and still may not read M[0]
      {0x06, 0, 0, 0},
  };
  EXPECT_EQ(
      Message(quirk),
      "instruction 2, 'ld M[0]': read before every way here has written it (the kernel counts "
      "falling through a ret as a way)");
}

}  // namespace
}  // namespace callgate::bpf
