// The running kernel beside this folder's model of it: which programs it takes, what they return,
// how stacks decide, what fits. Random cases: CALLGATE_RANDOM_COUNT and CALLGATE_RANDOM_SEED set
// how many and which.

#include <linux/audit.h>
#include <linux/seccomp.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <string>
#include <vector>

#include "abi/action.h"
#include "bpf/cost.h"
#include "bpf/encode.h"
#include "bpf/interpret.h"
#include "bpf/opcodes.h"
#include "bpf/stack.h"
#include "bpf/verify.h"
#include "gtest/gtest.h"
#include "testing/kernel_oracle.h"
#include "testing/random_program.h"

namespace callgate::bpf {
namespace {

using testing::Outcome;

constexpr Instruction At(Opcode opcode, std::uint32_t k = 0, std::uint8_t jt = 0,
                         std::uint8_t jf = 0) {
  return {static_cast<std::uint16_t>(opcode), jt, jf, k};
}

std::string Describe(std::uint64_t seed, const Program& program) {
  return "seed " + std::to_string(seed) + "\n" + EncodeHex(program);
}

TEST(Kernel, AcceptsExactlyTheCodesOfTheTable) {
  const testing::LoadCheck kernel;
  for (std::uint32_t code = 0; code <= 0xffff; ++code) {
    Program program = {
        At(Opcode::kLdImm, 1), At(Opcode::kSt, 4), {static_cast<std::uint16_t>(code), 0, 0, 4}};
    program.insert(program.end(), 6, At(Opcode::kRetK, 0x7fff0000));
    ASSERT_EQ(kernel.Accepts(program), Verify(program).has_value()) << code;
  }
}

TEST(Kernel, AgreesWithVerifyOnRandomPrograms) {
  const std::uint64_t seed = testing::RandomSeed();
  testing::ProgramGenerator generator(seed);
  const testing::LoadCheck kernel;
  std::uint64_t accepted = 0;
  const std::uint64_t count = testing::RandomCount(30'000);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Program program = generator.NearValid();
    const bool taken = kernel.Accepts(program);
    auto verified = Verify(program);
    ASSERT_EQ(taken, verified.has_value())
        << (verified ? "verified" : verified.error().message) << "\n"
        << Describe(seed, program);
    accepted += taken ? 1 : 0;
  }
  RecordProperty("accepted", std::to_string(accepted));
  // Both answers must be common, or the test proves little.
  EXPECT_GT(accepted, count / 5);
  EXPECT_LT(accepted, count * 4 / 5);
}

TEST(Kernel, AgreesWithInterpretOnRandomPrograms) {
  constexpr int kCallsAProgram = 8;
  const std::uint64_t seed = testing::RandomSeed();
  testing::ProgramGenerator generator(seed);
  const std::uint64_t count = testing::RandomCount(10'000);
  for (std::uint64_t i = 0; i < count; ++i) {
    const Program program = generator.Valid();
    std::vector<abi::Call> calls;
    while (calls.size() < kCallsAProgram) {
      const abi::Call call = generator.CallFor(program);
      if (testing::CanIssue(call)) calls.push_back(testing::AsIssued(call));
    }
    auto verdicts = testing::KernelVerdicts(program, calls);
    ASSERT_TRUE(verdicts.has_value()) << verdicts.error().ToString() << Describe(seed, program);
    for (std::size_t j = 0; j < calls.size(); ++j) {
      ASSERT_EQ((*verdicts)[j], Interpret(program, abi::WordsOf(calls[j], std::endian::native)))
          << Describe(seed, program) << "nr " << calls[j].nr << " arch " << calls[j].arch;
    }
  }
}

// What the oracle itself must be able to see, or agreement would mean nothing.
TEST(Kernel, OracleReadsAllBitsOfEveryWord) {
  abi::Call call{0x1234567, AUDIT_ARCH_X86_64, 0, {}};
  for (std::size_t i = 0; i < 6; ++i) call.args[i] = 0x0123456789abcdefULL * (i + 3);
  for (std::uint32_t arch : {std::uint32_t{AUDIT_ARCH_X86_64}, std::uint32_t{AUDIT_ARCH_I386}}) {
    call.arch = arch;
    if (!testing::CanIssue(call)) continue;  // a kernel without 32-bit programs
    const abi::Call issued = testing::AsIssued(call);
    const abi::CallWords words = abi::WordsOf(issued, std::endian::native);
    for (std::uint32_t word = 0; word < words.size(); ++word) {
      auto verdicts = testing::KernelVerdicts(
          Program{At(Opcode::kLdAbs, 4 * word), At(Opcode::kRetA)}, {&issued, 1});
      ASSERT_TRUE(verdicts.has_value());
      EXPECT_EQ(verdicts->front(), words[word]) << word;
    }
  }
}

TEST(Kernel, OracleReportsDivisionByZeroAndGoesOn) {
  const Program program = {At(Opcode::kLdAbs, 16), At(Opcode::kTax), At(Opcode::kLdImm, 12),
                           At(Opcode::kDivX), At(Opcode::kRetA)};
  std::vector<abi::Call> calls;
  for (std::uint64_t divisor : {3U, 0U, 4U}) {
    calls.push_back({39, AUDIT_ARCH_X86_64, 0, {divisor}});
  }
  EXPECT_EQ(testing::KernelVerdicts(program, calls).value(), (std::vector<std::uint32_t>{4, 0, 3}));
}

// Answers getppid with `ret_value` and lets all else through.
Program OnGetppid(std::uint32_t ret_value) {
  return {At(Opcode::kLdAbs, 0), At(Opcode::kJeqK, 110, 0, 1), At(Opcode::kRetK, ret_value),
          At(Opcode::kRetK, 0x7fff0000)};
}

// What the task sees of a value that the stack returns for getppid, without tracer or listener.
Outcome OutcomeOf(std::uint32_t ret_value) {
  const auto data = static_cast<std::int64_t>(ret_value & 0xffff);
  const auto action = abi::ActionKind{ret_value & 0xffff0000};
  switch (action) {
    case abi::ActionKind::kAllow:
    case abi::ActionKind::kLog:
      return {Outcome::Kind::kReturned, getpid()};
    case abi::ActionKind::kErrno:
      return {Outcome::Kind::kReturned, -std::min<std::int64_t>(data, 4095)};
    case abi::ActionKind::kTrace:
    case abi::ActionKind::kUserNotif:
      return {Outcome::Kind::kReturned, -ENOSYS};
    case abi::ActionKind::kTrap:
      return {Outcome::Kind::kTrapped, data};
    case abi::ActionKind::kKillThread:
    case abi::ActionKind::kKillProcess:
      return {Outcome::Kind::kKilled, SIGSYS};
  }
  return {Outcome::Kind::kKilled, SIGSYS};  // unknown actions kill
}

TEST(Kernel, AgreesWithInterpretStackOnEveryPairOfActions) {
  const abi::Call call = testing::AsIssued({110, AUDIT_ARCH_X86_64, 0, {}});
  const abi::CallWords words = abi::WordsOf(call, std::endian::native);
  constexpr std::uint32_t kActions[] = {0x80000000, 0x00000000, 0x00030000, 0x00050000, 0x7fc00000,
                                        0x7ff00000, 0x7ffc0000, 0x7fff0000, 0x00040000, 0xffff0000};
  for (std::uint32_t older : kActions) {
    for (std::uint32_t newer : kActions) {
      const std::vector<Program> programs = {OnGetppid(older | 11), OnGetppid(newer | 5000)};
      const std::vector<ProgramView> views(programs.begin(), programs.end());
      auto outcome = testing::RunUnderStack(programs, call);
      ASSERT_TRUE(outcome.has_value()) << outcome.error().ToString();
      EXPECT_EQ(*outcome, OutcomeOf(InterpretStack(views, words).ret_value))
          << std::hex << older << " then " << newer;
    }
  }
}

// The most `ld` instructions that a last filter may have on top of `stack`; each is one converted.
std::size_t LongestOnTop(std::vector<Program> stack) {
  const abi::Call call = testing::AsIssued({110, AUDIT_ARCH_X86_64, 0, {}});
  std::size_t fits = 0;
  std::size_t too_many = kMaxInstructions;
  stack.emplace_back();
  while (too_many - fits > 1) {
    const std::size_t middle = (fits + too_many) / 2;
    stack.back().assign(middle, At(Opcode::kLdImm));
    stack.back().push_back(At(Opcode::kRetK, 0x7fff0000));
    auto outcome = testing::RunUnderStack(stack, call);
    if (!outcome) {
      EXPECT_EQ(outcome.error().errno_value, ENOMEM);
    }
    (outcome ? fits : too_many) = middle;
  }
  return fits;
}

// Seccomp_filters of proc(5): how many filters this test itself runs under.
int FiltersAroundUs() {
  std::ifstream status("/proc/self/status");
  std::string word;
  int count = -1;
  while (status >> word) {
    if (word == "Seccomp_filters:") status >> count;
  }
  return count;
}

// Stacks of random filters, filled to the brim by one more. By our count the brim is the same for
// all of them; in a container, whose filters count too, it lies lower than the limit.
TEST(Kernel, AgreesWithTheSizeOfAStack) {
  const std::uint64_t seed = testing::RandomSeed();
  testing::ProgramGenerator generator(seed);
  constexpr Instruction kOraclesOwn[] = {At(Opcode::kLdAbs), At(Opcode::kJeqK, 1, 0, 1),
                                         At(Opcode::kRetK), At(Opcode::kRetK)};
  std::vector<std::size_t> brims;
  for (int i = 0; i < 3; ++i) {
    std::size_t size = ConvertedSize(kOraclesOwn) + kFilterOverhead;
    std::vector<Program> stack;
    while (size + kMaxInstructions / 2 < kMaxStackSize) {
      // Returns at once and carries instructions of every kind along, up to a size that is enough.
      Program filler = {At(Opcode::kRetK, 0x7fff0000)};
      const std::size_t goal =
          std::min(kMaxInstructions, kMaxStackSize - size - kMaxInstructions / 4);
      while (ConvertedSize(filler) < goal && filler.size() < kMaxInstructions - 700) {
        const Program more = generator.Valid();
        filler.insert(filler.end(), more.begin(), more.end());
        if (!Verify(filler)) filler.resize(filler.size() - more.size());
      }
      size += ConvertedSize(filler) + kFilterOverhead;
      stack.push_back(std::move(filler));
    }
    Program last(LongestOnTop(stack), At(Opcode::kLdImm));
    last.push_back(At(Opcode::kRetK, 0x7fff0000));
    brims.push_back(size + ConvertedSize(last));
  }
  EXPECT_EQ(brims[0], brims[1]) << "seed " << seed;
  EXPECT_EQ(brims[0], brims[2]) << "seed " << seed;
  if (FiltersAroundUs() == 0) {
    EXPECT_EQ(brims[0], kMaxStackSize) << "seed " << seed;
  }
}

}  // namespace
}  // namespace callgate::bpf
