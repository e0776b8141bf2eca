#include "analyse/formula.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <string>
#include <vector>

#include "abi/call.h"
#include "analyse/compare.h"
#include "analyse/z3.h"
#include "bpf/interpret.h"
#include "bpf/opcodes.h"
#include "bpf/stack.h"
#include "testing/random_program.h"

namespace callgate::analyse {
namespace {

using bpf::Opcode;
using bpf::Program;
using bpf::ProgramView;

std::chrono::steady_clock::time_point InAMinute() {
  return std::chrono::steady_clock::now() + std::chrono::minutes(1);
}

// "" if z3 finds the condition true of these words and no others.
std::string Refuted(const std::string& formulas, const abi::CallWords& words,
                    const std::string& condition) {
  std::string at = "(and";
  for (std::size_t i = 0; i < words.size(); ++i) {
    at += fmt::format(" (= w{} {})", i, Literal(words[i]));
  }
  const auto answer = AskZ3(formulas, fmt::format("{} (not {}))", at, condition), InAMinute());
  if (!answer) return answer.error().ToString();
  return answer->verdict == Z3Verdict::kNoCall ? "" : "z3 computes something else";
}

TEST(Formula, OneLineAnInstruction) {
  const Program program = {{static_cast<std::uint16_t>(Opcode::kLdAbs), 0, 0, 16},
                           {static_cast<std::uint16_t>(Opcode::kRshK), 0, 0, 4},
                           {static_cast<std::uint16_t>(Opcode::kJeqK), 0, 1, 3},
                           {static_cast<std::uint16_t>(Opcode::kRetK), 0, 0, 0x7fff0000},
                           {static_cast<std::uint16_t>(Opcode::kRetK), 0, 0, 0}};
  EXPECT_EQ(Definition(std::array{ProgramView(program)}, "a"),
            "(define-fun a.0 () Bool true)\n"
            "(define-fun a.1 () Bool a.0)\n"
            "(define-fun a.1.out () (_ BitVec 32) (bvlshr w4 (bvand #x00000004 #x0000001f)))\n"
            "(define-fun a.2 () Bool a.1)\n"
            "(define-fun a.2.holds () Bool (= a.1.out #x00000003))\n"
            "(define-fun a.3 () Bool (and a.2 a.2.holds))\n"
            "(define-fun a.4 () Bool (and a.2 (not a.2.holds)))\n"
            "(define-fun a () (_ BitVec 32) (ite a.3 #x7fff0000 #x00000000))\n");
}

// Every opcode, through the interpreter and through z3: many filters in each question, since z3
// takes longer to start than to compute.
TEST(Formula, Z3ComputesWhatTheInterpreterDoes) {
  const std::uint64_t count = testing::RandomCount(200);
  const std::uint64_t seed = testing::RandomSeed();
  testing::ProgramGenerator random(seed);
  constexpr std::uint64_t kPrograms = 20;
  for (std::uint64_t done = 0; done < count; done += kPrograms) {
    std::vector<Program> programs;
    std::string formulas = Preamble();
    for (std::uint64_t i = 0; i < kPrograms; ++i) {
      programs.push_back(random.Valid(100));
      formulas += Definition(std::array{ProgramView(programs.back())}, fmt::format("p{}", i));
    }
    const abi::CallWords words =
        abi::WordsOf(random.CallFor(programs.front()), std::endian::native);
    std::string all = "(and";
    for (std::uint64_t i = 0; i < kPrograms; ++i) {
      const std::uint32_t value = bpf::Interpret(programs[i], words);
      all += fmt::format(" (= p{} {})", i, Literal(value));
    }
    ASSERT_EQ(Refuted(formulas, words, all + ")"), "") << "seed " << seed << ", after " << done;
  }
}

TEST(Formula, StackIsTheKernels) {
  const std::uint64_t seed = testing::RandomSeed();
  testing::ProgramGenerator random(seed);
  for (int i = 0; i < 10; ++i) {
    std::vector<Program> filters;
    for (int size = 0; size < 5; ++size) filters.push_back(random.Valid(40));
    const std::vector<ProgramView> views(filters.begin(), filters.end());
    const abi::CallWords words = abi::WordsOf(random.CallFor(filters[2]), std::endian::native);
    const std::uint32_t value = bpf::InterpretStack(views, words).ret_value;
    EXPECT_EQ(Refuted(Preamble() + Definition(views, "s"), words,
                      fmt::format("(= s {})", Literal(value))),
              "")
        << "seed " << seed << ", " << i;
  }
}

TEST(Formula, EffectsAndRanksAreThoseOfCompare) {
  std::string all = "(and";
  for (const std::uint32_t action :
       {0x0U, 0x1U, 0x30000U, 0x50000U, 0x70000U, 0x7fc00000U, 0x7ff00000U, 0x7ffb0000U,
        0x7ffc0000U, 0x7fff0000U, 0x80000000U, 0x80010000U, 0xffff0000U}) {
    for (const std::uint32_t data : {0U, 1U, 0xffeU, 0xfffU, 0x1000U, 0xffffU}) {
      const std::uint32_t value = action | data;
      const std::uint32_t effect = EffectOf(value);
      all += fmt::format("\n (= (effect {}) {})", Literal(value), Literal(effect));
      all += fmt::format("\n (= (rank {}) {})", Literal(value), Literal(effect & 0xffff0000));
    }
  }
  EXPECT_EQ(Refuted(Preamble(), {}, all + ")"), "");
}

}  // namespace
}  // namespace callgate::analyse
