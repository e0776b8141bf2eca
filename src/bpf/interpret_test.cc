#include "bpf/interpret.h"

#include <bit>
#include <vector>

#include "bpf/opcodes.h"
#include "bpf/verify.h"
#include "gtest/gtest.h"

namespace callgate::bpf {
namespace {

constexpr Instruction At(Opcode opcode, std::uint32_t k = 0, std::uint8_t jt = 0,
                         std::uint8_t jf = 0) {
  return {static_cast<std::uint16_t>(opcode), jt, jf, k};
}

constexpr abi::CallWords kWords = {100, 101, 102, 103, 104, 105, 106, 107,
                                   108, 109, 110, 111, 112, 113, 114, 115};

std::uint32_t Value(const Program& program) {
  EXPECT_TRUE(Verify(program).has_value());
  return Interpret(program, kWords);
}

TEST(Interpret, RegistersStartAtZero) {
  EXPECT_EQ(Value({At(Opcode::kRetA)}), 0U);
  EXPECT_EQ(Value({At(Opcode::kLdImm, 5), At(Opcode::kTxa), At(Opcode::kRetA)}), 0U);
}

TEST(Interpret, LoadsEveryWord) {
  for (std::uint32_t word = 0; word < 16; ++word) {
    EXPECT_EQ(Value({At(Opcode::kLdAbs, 4 * word), At(Opcode::kRetA)}), 100 + word);
  }
}

TEST(Interpret, LoadsAndStores) {
  EXPECT_EQ(Value({At(Opcode::kLdLen), At(Opcode::kRetA)}), 64U);
  EXPECT_EQ(Value({At(Opcode::kLdxLen), At(Opcode::kTxa), At(Opcode::kRetA)}), 64U);
  EXPECT_EQ(Value({At(Opcode::kLdxImm, 7), At(Opcode::kTxa), At(Opcode::kRetA)}), 7U);
  EXPECT_EQ(Value({At(Opcode::kLdImm, 7), At(Opcode::kTax), At(Opcode::kLdImm, 0), At(Opcode::kTxa),
                   At(Opcode::kRetA)}),
            7U);
  EXPECT_EQ(Value({At(Opcode::kLdImm, 7), At(Opcode::kSt, 15), At(Opcode::kLdImm, 0),
                   At(Opcode::kLdMem, 15), At(Opcode::kRetA)}),
            7U);
  EXPECT_EQ(Value({At(Opcode::kLdxImm, 7), At(Opcode::kStx, 3), At(Opcode::kLdxImm, 0),
                   At(Opcode::kLdxMem, 3), At(Opcode::kTxa), At(Opcode::kRetA)}),
            7U);
  EXPECT_EQ(Value({At(Opcode::kRetK, 0xdeadbeef)}), 0xdeadbeefU);
}

// The K and X form of one operation; by X what K forms may not have, too.
TEST(Interpret, Arithmetic) {
  struct Case {
    Opcode k_form;
    Opcode x_form;
    std::uint32_t a, b, expected;
  };
  const Case cases[] = {
      {Opcode::kAddK, Opcode::kAddX, 0xffffffff, 2, 1},
      {Opcode::kSubK, Opcode::kSubX, 1, 2, 0xffffffff},
      {Opcode::kMulK, Opcode::kMulX, 0x10001, 0x10001, 0x20001},
      {Opcode::kDivK, Opcode::kDivX, 0xffffffff, 2, 0x7fffffff},
      {Opcode::kDivK, Opcode::kDivX, 0x80000000, 0xffffffff, 0},
      {Opcode::kOrK, Opcode::kOrX, 0xf0, 0x1f, 0xff},
      {Opcode::kAndK, Opcode::kAndX, 0xf0, 0x1f, 0x10},
      {Opcode::kXorK, Opcode::kXorX, 0xf0, 0x1f, 0xef},
      {Opcode::kLshK, Opcode::kLshX, 3, 31, 0x80000000},
      {Opcode::kRshK, Opcode::kRshX, 0x80000000, 31, 1},
      {Opcode::kRshK, Opcode::kRshX, 0x80000000, 0, 0x80000000},
  };
  for (const Case& c : cases) {
    EXPECT_EQ(Value({At(Opcode::kLdImm, c.a), At(c.k_form, c.b), At(Opcode::kRetA)}), c.expected);
    EXPECT_EQ(
        Value({At(Opcode::kLdImm, c.a), At(Opcode::kLdxImm, c.b), At(c.x_form), At(Opcode::kRetA)}),
        c.expected);
  }
  EXPECT_EQ(Value({At(Opcode::kLdImm, 1), At(Opcode::kNeg), At(Opcode::kRetA)}), 0xffffffffU);
  EXPECT_EQ(Value({At(Opcode::kLdImm, 0), At(Opcode::kNeg), At(Opcode::kRetA)}), 0U);
}

TEST(Interpret, VariableShiftsUseTheLowFiveBits) {
  for (std::uint32_t x : {32U, 33U, 63U, 0xffffffffU}) {
    EXPECT_EQ(Value({At(Opcode::kLdImm, 5), At(Opcode::kLdxImm, x), At(Opcode::kLshX),
                     At(Opcode::kRetA)}),
              5U << (x % 32));
    EXPECT_EQ(Value({At(Opcode::kLdImm, 0xf0000000), At(Opcode::kLdxImm, x), At(Opcode::kRshX),
                     At(Opcode::kRetA)}),
              0xf0000000U >> (x % 32));
  }
}

TEST(Interpret, DivisionByZeroEndsTheProgramWithKillThread) {
  const Program program = {At(Opcode::kLdImm, 5), At(Opcode::kDivX), At(Opcode::kRetK, 0x7fff0000)};
  EXPECT_EQ(Value(program), 0U);
  EXPECT_EQ(InterpretWithTrace(program, kWords).path, (std::vector<std::uint32_t>{0, 1}));
}

TEST(Interpret, ComparisonsAreUnsigned) {
  struct Case {
    Opcode k_form;
    Opcode x_form;
    std::uint32_t a, b;
    bool expected;
  };
  const Case cases[] = {
      {Opcode::kJeqK, Opcode::kJeqX, 0x80000000, 0x80000000, true},
      {Opcode::kJeqK, Opcode::kJeqX, 0, 0x80000000, false},
      {Opcode::kJgtK, Opcode::kJgtX, 0xffffffff, 0x7fffffff, true},
      {Opcode::kJgtK, Opcode::kJgtX, 7, 7, false},
      {Opcode::kJgeK, Opcode::kJgeX, 0, 0xffffffff, false},
      {Opcode::kJgeK, Opcode::kJgeX, 7, 7, true},
      {Opcode::kJsetK, Opcode::kJsetX, 0x80000001, 0x80000000, true},
      {Opcode::kJsetK, Opcode::kJsetX, 0x7fffffff, 0x80000000, false},
      {Opcode::kJsetK, Opcode::kJsetX, 0xffffffff, 0, false},
  };
  for (const Case& c : cases) {
    const std::vector<Program> programs = {
        {At(Opcode::kLdImm, c.a), At(Opcode::kLdxImm, 0), At(c.k_form, c.b, 1, 0),
         At(Opcode::kRetK, 0), At(Opcode::kRetK, 1)},
        {At(Opcode::kLdImm, c.a), At(Opcode::kLdxImm, c.b), At(c.x_form, 0, 1, 0),
         At(Opcode::kRetK, 0), At(Opcode::kRetK, 1)}};
    for (const Program& program : programs) EXPECT_EQ(Value(program), c.expected ? 1U : 0U);
  }
}

TEST(Interpret, TraceHoldsWhatWasExecutedInOrder) {
  const Program program = {At(Opcode::kLdAbs, 0), At(Opcode::kJeqK, 100, 2, 0),
                           At(Opcode::kRetK, 1),  At(Opcode::kRetK, 2),
                           At(Opcode::kJa, 1),    At(Opcode::kRetK, 3),
                           At(Opcode::kRetK, 4)};
  const Trace trace = InterpretWithTrace(program, kWords);
  EXPECT_EQ(trace.ret_value, 4U);
  EXPECT_EQ(trace.path, (std::vector<std::uint32_t>{0, 1, 4, 6}));
}

// A caller that forgot Verify gets an abort, not a wild read.
TEST(InterpretDeathTest, UnverifiedProgramsAbort) {
  EXPECT_DEATH(Interpret({}, kWords), "internal error");
  for (const Program& program : {Program{At(Opcode::kLdAbs, 64)}, Program{At(Opcode::kLdMem, 16)},
                                 Program{At(Opcode::kSt, 16)}, Program{At(Opcode::kModK, 1)},
                                 Program{At(Opcode::kJa, 7)}, Program{{0x55, 0, 0, 0}}}) {
    EXPECT_DEATH(Interpret(program, kWords), "internal error");
  }
}

}  // namespace
}  // namespace callgate::bpf
