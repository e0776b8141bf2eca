#include <algorithm>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>

#include "base/diagnostic.h"
#include "base/source.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "policy/call_text.h"
#include "policy/evaluate.h"
#include "policy/parser.h"
#include "policy/print.h"
#include "policy/suggest.h"
#include "policy/typecheck.h"
#include "testing/random_policy.h"

namespace callgate::policy {
namespace {

using testing::BoundaryCalls;
using testing::RandomPolicy;
using testing::RandomPolicyOptions;

struct Read {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  std::optional<TypedPolicy> policy;

  std::string Messages() const { return base::Render(diagnostics, sources, base::Color::kNo); }
};

std::unique_ptr<Read> ReadText(std::string text) {
  auto read = std::make_unique<Read>();
  MemoryReader nothing({});
  read->policy = ReadPolicyText("random.cg", std::move(text), nothing, abi::ArchId::kX86_64,
                                read->sources, read->diagnostics);
  return read;
}

std::string Printed(const std::string& text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  base::FileId file = sources.Add("random.cg", text);
  return Print(Parse(sources, file, diagnostics));
}

const std::vector<std::vector<abi::ArchId>> kMixes{{abi::ArchId::kX86_64},
                                                   {abi::ArchId::kI386},
                                                   {abi::ArchId::kX86_64, abi::ArchId::kI386},
                                                   {abi::ArchId::kAarch64, abi::ArchId::kArm},
                                                   {abi::ArchId::kPpc},
                                                   {abi::ArchId::kMips64n32}};

TEST(RandomText, WellTypedPoliciesAreAcceptedAndPrintingKeepsTheirMeaning) {
  std::mt19937_64 random(1);
  int accepted = 0;
  constexpr int kPolicies = 1200;
  for (std::uint64_t seed = 0; seed < kPolicies; ++seed) {
    RandomPolicyOptions options;
    options.arches = kMixes[seed % kMixes.size()];
    options.untidy = seed % 2 == 0;
    std::string text = RandomPolicy(seed, options).Text();
    SCOPED_TRACE(fmt::format("seed {}\n{}", seed, text));
    std::string once = Printed(text);
    ASSERT_EQ(Printed(once), once);

    auto before = ReadText(text);
    auto after = ReadText(once);
    ASSERT_EQ(before->policy.has_value(), after->policy.has_value()) << before->Messages();
    if (!before->policy) {
      // By chance a masked test asks for the impossible; nothing else may be refused.
      EXPECT_NE(before->Messages().find("error:"), std::string::npos);
      continue;
    }
    ++accepted;
    for (const abi::Call& call : BoundaryCalls(*before->policy, random, 20)) {
      Verdict a = Judge(*before->policy, call);
      Verdict b = Judge(*after->policy, call);
      ASSERT_EQ(a.action, b.action) << FormatCall(call, abi::ArchId::kX86_64);
      ASSERT_EQ(a.reason, b.reason) << FormatCall(call, abi::ArchId::kX86_64);
    }
  }
  // A generator that makes mostly refused texts tests nothing.
  EXPECT_GT(accepted, kPolicies * 9 / 10);
}

TEST(RandomText, WrongPoliciesAreRefusedWithMessagesAndPrintIdempotently) {
  int refused = 0;
  for (std::uint64_t seed = 0; seed < 600; ++seed) {
    RandomPolicyOptions options;
    options.arches = kMixes[seed % kMixes.size()];
    options.percent_wrong = 5;
    options.untidy = true;
    std::string text = RandomPolicy(seed, options).Text();
    SCOPED_TRACE(fmt::format("seed {}\n{}", seed, text));
    std::string once = Printed(text);
    ASSERT_EQ(Printed(once), once);
    auto read = ReadText(text);
    ASSERT_EQ(read->policy.has_value(), !read->diagnostics.HasErrors());
    refused += read->policy ? 0 : 1;
  }
  EXPECT_GT(refused, 300);
}

TEST(RandomText, EverySuggestionAllowsItsCall) {
  // A suggestion for a rule is "NAME: …; CLAUSE" or "NAME: CLAUSE; …"; what stands for the dots is
  // the rule's text. So the clause alone is tried: it must hold for the call it was made for.
  std::mt19937_64 random(2);
  int tried = 0;
  for (std::uint64_t seed = 5000; seed < 5300; ++seed) {
    RandomPolicyOptions options;
    options.arches = kMixes[seed % kMixes.size()];
    std::string text = RandomPolicy(seed, options).Text();
    auto read = ReadText(text);
    if (!read->policy) continue;
    for (const abi::Call& call : BoundaryCalls(*read->policy, random, 5)) {
      Verdict verdict = Judge(*read->policy, call);
      if (verdict.rule == nullptr) continue;
      std::string clause = ClauseAllowing(*verdict.rule, *verdict.arch, call);
      std::string alone = fmt::format("arch: {}\n{}: {}\n", abi::ArchOf(*verdict.arch).name,
                                      verdict.rule->syscall, clause);
      SCOPED_TRACE(fmt::format("seed {} call {}\n{}\n{}", seed,
                               FormatCall(call, abi::ArchId::kX86_64), text, alone));
      auto suggested = ReadText(alone);
      ASSERT_TRUE(suggested->policy) << suggested->Messages();
      ASSERT_EQ(Judge(*suggested->policy, call).action.verb, Verb::kAllow);
      ++tried;
    }
  }
  EXPECT_GT(tried, 1000);
}

TEST(RandomText, FormattedCallsReadBackAsTheSameCallToThePolicy) {
  std::mt19937_64 random(3);
  for (std::uint64_t seed = 9000; seed < 9200; ++seed) {
    RandomPolicyOptions options;
    options.arches = kMixes[seed % kMixes.size()];
    auto read = ReadText(RandomPolicy(seed, options).Text());
    if (!read->policy) continue;
    for (const abi::Call& call : BoundaryCalls(*read->policy, random, 5)) {
      std::string formatted = FormatCall(call, abi::ArchId::kX86_64);
      auto arch = abi::ArchOfCall(call.arch, call.nr);
      if (!arch) continue;
      base::Result<CallPattern> parsed = ParseCall(formatted, abi::ArchId::kX86_64);
      ASSERT_TRUE(parsed) << formatted << "\n" << parsed.error().ToString();
      EXPECT_EQ(parsed->call.nr, call.nr) << formatted;
      EXPECT_EQ(FormatCall(parsed->call, abi::ArchId::kX86_64), formatted);
    }
  }
}

TEST(RandomText, PatternsFindEveryVerdictThatRandomCallsFind) {
  std::mt19937_64 random(4);
  for (std::uint64_t seed = 7000; seed < 7150; ++seed) {
    RandomPolicyOptions options;
    options.max_clauses = 2;
    options.max_depth = 1;
    auto read = ReadText(RandomPolicy(seed, options).Text());
    if (!read->policy) continue;
    std::map<std::int32_t, PatternVerdicts> patterns;
    for (const abi::Call& call : BoundaryCalls(*read->policy, random, 10)) {
      if (call.arch != abi::ArchOf(abi::ArchId::kX86_64).audit_arch) continue;
      CallPattern pattern;
      pattern.arch = abi::ArchId::kX86_64;
      pattern.call.nr = call.nr;
      pattern.call.arch = call.arch;
      pattern.is_any.fill(true);
      auto [found, is_new] = patterns.try_emplace(call.nr);
      if (is_new) found->second = JudgePattern(*read->policy, pattern);
      if (!found->second.is_exhaustive) continue;
      Verdict verdict = Judge(*read->policy, call);
      bool listed = std::ranges::any_of(found->second.cases, [&](const auto& one) {
        return one.verdict.action == verdict.action && one.verdict.clause == verdict.clause;
      });
      ASSERT_TRUE(listed) << "seed " << seed << " " << FormatCall(call, abi::ArchId::kX86_64);
    }
  }
}

}  // namespace
}  // namespace callgate::policy
