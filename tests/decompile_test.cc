// Filter → policy → filter. Decompile proves what it prints, so what is left to show is that it has
// words for what policies compile to. How often the way back is longer, since a rule cannot share
// what a graph shares, is printed.
//
//   CALLGATE_RANDOM_COUNT  how many random policies (default 100)

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdio>

#include "callgate/analysis.h"
#include "testing/random_policy.h"
#include "testing/random_program.h"

namespace callgate {
namespace {

std::size_t SizeOf(const Subject& subject) {
  return subject.filters().front().instructions().size();
}

TEST(Decompile, FilterOfAnyPolicyIsSaidAgain) {
  const std::uint64_t count = testing::RandomCount(100);
  const std::uint64_t seed = testing::RandomSeed();
  for (const bool several : {false, true}) {
    testing::RandomPolicyOptions options;
    if (several) options.arches = {abi::ArchId::kX86_64, abi::ArchId::kI386};
    testing::RandomPolicy random(seed, options);
    std::uint64_t said = 0;
    std::uint64_t longer = 0;
    std::uint64_t too_long = 0;
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::string text = random.Text();
      const auto policy = Policy::FromText("random.cg", text);
      if (!policy) continue;
      const auto subject = Subject::FromPolicy(*policy);
      ASSERT_TRUE(subject.has_value()) << subject.error().message;
      const auto again = Decompile(*subject);
      if (!again) {
        // The one excuse: a body whose sharing no rule can say in readable length.
        ASSERT_THAT(again.error().message, ::testing::HasSubstr("does not fit into a rule"))
            << "seed " << seed << '\n'
            << text;
        ++too_long;
        continue;
      }
      ASSERT_TRUE(again->exceptions.empty()) << again->text;
      const auto recompiled = Subject::FromBytes("again.cg", again->text);
      ASSERT_TRUE(recompiled.has_value());
      ++said;
      if (SizeOf(*recompiled) > SizeOf(*subject)) ++longer;
    }
    std::printf("seed %lu: %lu policies, %lu became longer; %lu did not fit\n", seed, said, longer,
                too_long);
    EXPECT_GT(said * 2, count);
    EXPECT_LT(too_long * 5, count);
  }
}

TEST(Decompile, RefusesWhatNoPolicySays) {
  const auto by_number =
      Subject::FromBytes("a.hex", "20 0 0 0\n15 0 1 1\n6 0 0 0\n6 0 0 7fff0000\n");
  ASSERT_TRUE(by_number.has_value());
  EXPECT_EQ(
      Decompile(*by_number).error().message,
      "cannot say this filter as a policy: it judges calls of any ABI by their numbers, and a "
      "policy says which ABIs it speaks for");
}

// libseccomp's filters for one ABI: numbers from 2^30 on are another ABI's, but -1 is not.
TEST(Decompile, FilterOfLibseccompForOneAbi) {
  const auto subject =
      Subject::FromBytes("a.hex",
                         "20 0 0 4\n15 0 6 c000003e\n20 0 0 0\n35 0 1 40000000\n15 0 3 ffffffff\n"
                         "15 1 0 0\n6 0 0 50001\n6 0 0 7fff0000\n6 0 0 0\n");
  ASSERT_TRUE(subject.has_value());
  const auto decompiled = Decompile(*subject);
  ASSERT_TRUE(decompiled.has_value()) << decompiled.error().message;
  EXPECT_EQ(decompiled->text,
            "arch: x86_64\ndefault: errno(EPERM)\nunknown: errno(EPERM)\nbad_arch: kill_thread\n"
            "read\n");
  EXPECT_TRUE(decompiled->exceptions.empty());
}

// Numbers from 400 on are refused; not all before have names.
TEST(Decompile, NumbersWithoutANameMayBeAnException) {
  const auto subject = Subject::FromBytes("a.hex",
                                          "20 0 0 4\n15 0 3 c000003e\n20 0 0 0\n35 1 0 190\n"
                                          "6 0 0 7fff0000\n6 0 0 0\n");
  ASSERT_TRUE(subject.has_value());
  const auto decompiled = Decompile(*subject);
  ASSERT_TRUE(decompiled.has_value()) << decompiled.error().message;
  ASSERT_EQ(decompiled->exceptions.size(), 1);
  EXPECT_EQ(decompiled->exceptions[0].call, "unnamed numbers");
  EXPECT_LT(decompiled->exceptions[0].witness.nr, 400);
}

TEST(Decompile, TestsOfOneArgumentAreOneList) {
  const char* const rules =
      "ioctl: cmd in {TCGETS, TIOCGWINSZ, 0x5500..0x5507}\n"
      "fcntl: cmd not in {F_SETLEASE, F_NOTIFY}\n"
      "mmap: prot <= 3\n"
      "kill: sig in {0, 9, 0xf} && pid in 2..0x7fffffff\n";
  const auto policy = Policy::FromText("a.cg", std::string("arch: x86_64\n") + rules);
  ASSERT_TRUE(policy.has_value());
  const auto subject = Subject::FromPolicy(*policy);
  ASSERT_TRUE(subject.has_value());
  const auto decompiled = Decompile(*subject);
  ASSERT_TRUE(decompiled.has_value()) << decompiled.error().message;
  EXPECT_EQ(
      decompiled->text,
      "arch: x86_64\ndefault: kill\nunknown: errno(ENOSYS)\nbad_arch: kill\n" + std::string(rules));
}

TEST(Decompile, FilterWithoutAQuestionIsThreeSettings) {
  const auto allow = Subject::FromBytes("a.hex", "6 0 0 7fff0000\n");
  ASSERT_TRUE(allow.has_value());
  const auto text = Decompile(*allow);
  ASSERT_TRUE(text.has_value()) << text.error().message;
  EXPECT_EQ(text->text.substr(text->text.find('\n') + 1),
            "default: allow\nunknown: allow\nbad_arch: allow\n");
}

}  // namespace
}  // namespace callgate
