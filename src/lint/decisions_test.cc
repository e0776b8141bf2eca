// What lint asks is compared with what the interpreter says.

#include "lint/decisions.h"

#include <gtest/gtest.h>

#include <chrono>

#include "abi/action.h"
#include "bpf/interpret.h"
#include "bpf/verify.h"
#include "lint/lint.h"
#include "testing/random_program.h"

namespace callgate::lint {
namespace {

constexpr abi::ArchId kHome = abi::ArchId::kX86_64;

bool Allows(std::uint32_t value) {
  const auto action = abi::ActionFromValue(value);
  return action &&
         (action->kind == abi::ActionKind::kAllow || action->kind == abi::ActionKind::kLog);
}

TEST(Decisions, FindsACallIfAndOnlyIfThereIsOne) {
  const std::uint64_t seed = testing::RandomSeed();
  SCOPED_TRACE("CALLGATE_RANDOM_SEED=" + std::to_string(seed));
  testing::ProgramGenerator generator(seed);
  const std::uint64_t count = testing::RandomCount(300);
  std::uint64_t found = 0, denied = 0;
  for (std::uint64_t i = 0; i < count; ++i) {
    const bpf::Program program = generator.NearlyEmulated();
    Subject subject({.filters = {program}, .text = {}});
    for (int n = 0; n < 40; ++n) {
      abi::Call call = generator.CallFor(program);
      call.arch = abi::ArchOf(kHome).audit_arch;
      const abi::Syscall* syscall = abi::FindSyscall(kHome, call.nr);
      if (syscall == nullptr) continue;
      auto interpret = [&](const abi::Call& one) {
        return bpf::Interpret(program, abi::WordsOf(one, abi::ArchOf(kHome).endian));
      };
      const auto witness =
          subject.decisions.Find(kHome, CallPattern{.syscall = syscall->name}, Outcome::kAllowed);
      if (witness) {
        ASSERT_TRUE(Allows(interpret(*witness)));
        ++found;
      } else if (!subject.decisions.TakeGaveUp()) {
        ASSERT_FALSE(Allows(interpret(call)));
        ++denied;
      }
    }
  }
  EXPECT_GT(found, count);
  EXPECT_GT(denied, count);
}

TEST(Decisions, PatternLooksAtTheBitsThatTheKernelLooksAt) {
  // ld [24]; jeq #TIOCSTI, allow, kill: the low word of ioctl's second argument.
  const bpf::Program program = {
      {0x20, 0, 0, 24}, {0x15, 0, 1, 0x5412}, {0x06, 0, 0, 0x7fff0000}, {0x06, 0, 0, 0x80000000}};
  ASSERT_TRUE(bpf::Verify(program));
  Subject subject({.filters = {program}, .text = {}});
  using Op = ArgumentTest::Op;
  auto allowed = [&](std::string_view value) {
    return subject.decisions.Find(kHome, {"ioctl", {{{"cmd", Op::kIs, value}}}}, Outcome::kAllowed)
        .has_value();
  };
  EXPECT_TRUE(allowed("TIOCSTI"));
  EXPECT_FALSE(allowed("TCGETS"));
  EXPECT_FALSE(subject.decisions.Always(kHome, "ioctl", Outcome::kAllowed));
  EXPECT_TRUE(subject.decisions.IsConditional(kHome, "ioctl"));
  // No such argument, no such constant: no such calls.
  EXPECT_FALSE(subject.decisions.Build(kHome, {"ioctl", {{{"none", Op::kIs, "1"}}}}));
  EXPECT_FALSE(subject.decisions.Build(kHome, {"ioctl", {{{"cmd", Op::kIs, "NO_SUCH"}}}}));
}

TEST(Lint, AnyFilterIsLintedInAMoment) {
  const std::uint64_t seed = testing::RandomSeed();
  SCOPED_TRACE("CALLGATE_RANDOM_SEED=" + std::to_string(seed));
  testing::ProgramGenerator generator(seed);
  const std::uint64_t count = testing::RandomCount(60);
  for (std::uint64_t i = 0; i < count; ++i) {
    const bpf::Program program = generator.Valid();
    const auto start = std::chrono::steady_clock::now();
    const Report report = Lint({.filters = {program}, .text = {}});
    const auto took = std::chrono::steady_clock::now() - start;
    // Far above what it takes: this is about hangs.
    EXPECT_LT(took, std::chrono::seconds(60));
    for (const Finding& finding : report.findings) {
      EXPECT_FALSE(finding.message.empty());
      EXPECT_LT(finding.instruction.value_or(0), program.size());
    }
  }
}

}  // namespace
}  // namespace callgate::lint
