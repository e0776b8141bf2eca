#include "analyse/compare.h"

#include <gtest/gtest.h>

#include <cstdio>

#include "bpf/disassemble.h"
#include "bpf/interpret.h"
#include "bpf/verify.h"
#include "testing/random_program.h"

namespace callgate::analyse {
namespace {

using bpf::Opcode;
using bpf::Program;

bpf::Instruction Return(abi::Action action) {
  return {static_cast<std::uint16_t>(Opcode::kRetK), 0, 0, action.value()};
}

// "nr == 1 ? action : otherwise"
Program WriteIs(abi::Action action, abi::Action otherwise) {
  return {{static_cast<std::uint16_t>(Opcode::kLdAbs), 0, 0, 0},
          {static_cast<std::uint16_t>(Opcode::kJeqK), 0, 1, 1},
          Return(action),
          Return(otherwise)};
}

constexpr abi::Action kErrno1{abi::ActionKind::kErrno, 1};
constexpr abi::Action kErrno38{abi::ActionKind::kErrno, 38};

TEST(Compare, FilterEqualsItself) {
  const Program program = WriteIs(abi::kAllow, kErrno1);
  const Comparison comparison = ComparePrograms(program, program);
  EXPECT_EQ(comparison.equal, Answer::kHolds);
  EXPECT_EQ(comparison.a_within_b, Answer::kHolds);
  EXPECT_EQ(comparison.b_within_a, Answer::kHolds);
  EXPECT_TRUE(comparison.differences.empty());
}

TEST(Compare, AllowingMoreIsLooserAndTheWitnessShowsIt) {
  const Comparison comparison =
      ComparePrograms(Program{Return(kErrno1)}, WriteIs(abi::kAllow, kErrno1));
  EXPECT_EQ(comparison.equal, Answer::kFails);
  EXPECT_EQ(comparison.a_within_b, Answer::kHolds);
  EXPECT_EQ(comparison.b_within_a, Answer::kFails);
  ASSERT_EQ(comparison.differences.size(), 1);
  EXPECT_EQ(comparison.differences[0].kind, DifferenceKind::kLooser);
  EXPECT_EQ(comparison.differences[0].witness[abi::kNrWord], 1U);
}

TEST(Compare, AnotherErrnoIsADifferenceButNotOfStrictness) {
  const Comparison comparison =
      ComparePrograms(Program{Return(kErrno1)}, WriteIs(kErrno38, kErrno1));
  EXPECT_EQ(comparison.equal, Answer::kFails);
  EXPECT_EQ(comparison.a_within_b, Answer::kHolds);
  EXPECT_EQ(comparison.b_within_a, Answer::kHolds);
}

TEST(Compare, LooserHereAndTighterThereIsIncomparable) {
  const Comparison comparison =
      ComparePrograms(WriteIs(abi::kAllow, kErrno1), WriteIs(abi::kKillProcess, abi::kAllow));
  EXPECT_EQ(comparison.a_within_b, Answer::kFails);
  EXPECT_EQ(comparison.b_within_a, Answer::kFails);
  EXPECT_EQ(comparison.differences.size(), 2);
}

// An unknown action kills the process (kernel/seccomp.c, __seccomp_filter).
TEST(Compare, UnknownActionIsAsStrictAsKill) {
  const Program unknown = {{static_cast<std::uint16_t>(Opcode::kRetK), 0, 0, 0x12340000}};
  const Comparison comparison = ComparePrograms(unknown, Program{Return(abi::kKillProcess)});
  EXPECT_EQ(comparison.equal, Answer::kFails);
  EXPECT_EQ(comparison.a_within_b, Answer::kHolds);
  EXPECT_EQ(comparison.b_within_a, Answer::kHolds);
}

TEST(Compare, WhatCannotBeExpressedIsUndecidedUnlessADifferenceIsFoundElsewhere) {
  // arg0.low > arg0.high ? allow : kill
  Program program = {{static_cast<std::uint16_t>(Opcode::kLdAbs), 0, 0, 20},
                     {static_cast<std::uint16_t>(Opcode::kTax), 0, 0, 0},
                     {static_cast<std::uint16_t>(Opcode::kLdAbs), 0, 0, 16},
                     {static_cast<std::uint16_t>(Opcode::kJgtX), 0, 1, 0},
                     Return(abi::kAllow),
                     Return(abi::kKillProcess)};
  const Comparison open = ComparePrograms(program, Program{Return(abi::kAllow)});
  EXPECT_EQ(open.equal, Answer::kUndecided);
  EXPECT_EQ(open.undecided, "instruction 3, 'jgt x, l4, l5': too complex a function of the call");

  Program with_number = {{static_cast<std::uint16_t>(Opcode::kLdAbs), 0, 0, 0},
                         {static_cast<std::uint16_t>(Opcode::kJeqK), 0, 1, 1},
                         Return(kErrno1)};
  with_number.insert(with_number.end(), program.begin(), program.end());
  const Comparison closed = ComparePrograms(with_number, Program{Return(abi::kAllow)});
  EXPECT_EQ(closed.equal, Answer::kFails);
  EXPECT_EQ(closed.a_within_b, Answer::kUndecided);
  EXPECT_EQ(closed.b_within_a, Answer::kFails);
}

// Programs that differ in one instruction, and programs that have nothing to do with each other:
// no call that is sampled contradicts an answer, and every difference has been interpreted.
TEST(Compare, AnswersOnRandomProgramsAgreeWithSampledCalls) {
  const std::uint64_t count = testing::RandomCount(1'500);
  const std::uint64_t seed = testing::RandomSeed();
  testing::ProgramGenerator generator(seed);
  std::uint64_t equal = 0;
  std::uint64_t differ = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const Program a = generator.Valid(200);
    Program b = a;
    if (generator.OneIn(4)) {
      b = generator.Valid(200);
    } else {
      bpf::Instruction& changed = b[generator.Below(b.size())];
      switch (generator.Below(3)) {
        case 0:
          changed.k ^= 1U << generator.Below(32);
          break;
        case 1:
          std::swap(changed.jt, changed.jf);
          break;
        default:
          changed.k += 1;
          break;
      }
      if (!bpf::Verify(b)) continue;
    }
    const Comparison comparison = ComparePrograms(a, b);
    equal += comparison.equal == Answer::kHolds ? 1 : 0;
    differ += comparison.equal == Answer::kFails ? 1 : 0;
    if (comparison.equal != Answer::kHolds) continue;
    for (int j = 0; j < 100; ++j) {
      const abi::CallWords words =
          abi::WordsOf(generator.CallFor(j % 2 == 0 ? a : b), std::endian::little);
      ASSERT_EQ(bpf::Interpret(a, words), bpf::Interpret(b, words))
          << "seed " << seed << " pair " << i << '\n'
          << bpf::Disassemble(a) << '\n'
          << bpf::Disassemble(b);
    }
  }
  std::printf("seed %lu: %lu pairs, %lu equal, %lu differ\n", seed, count, equal, differ);
  EXPECT_GT(equal, 0U);
  EXPECT_GT(differ, 0U);
}

}  // namespace
}  // namespace callgate::analyse
