#include "policy/deep.h"

#include <cstdlib>
#include <random>
#include <string>

#include "graph/graph.h"
#include "gtest/gtest.h"
#include "policy/lower.h"
#include "policy/plan.h"
#include "policy/reading_for_tests.h"
#include "policy/typed.h"

namespace callgate::policy {
namespace {

TEST(Glob, Matches) {
  struct Case {
    const char* pattern;
    const char* text;
    bool matches;
  };
  for (Case one : {Case{"/usr/lib/*.so*", "/usr/lib/libc.so.6", true},
                   {"/usr/lib/*.so*", "/usr/lib/x/libc.so.6", false},  // `*` stays in a component
                   {"/usr/**.so*", "/usr/lib/x/libc.so.6", true},
                   {"/usr/**", "/usr/", true},
                   {"/usr/**", "/usr", false},
                   {"/dev/tty?", "/dev/tty1", true},
                   {"/dev/tty?", "/dev/tty", false},
                   {"/dev?null", "/dev/null", false},
                   {"*/x", "a/x", true},
                   {"*/x", "/a/x", false},
                   {"user.*", "user.", true},
                   {"", "", true},
                   {"", "a", false},
                   {"*", "", true},
                   {"a[b]", "a[b]", true}}) {
    EXPECT_EQ(MatchesGlob(one.pattern, one.text), one.matches) << one.pattern << " " << one.text;
  }
}

TEST(Glob, HostilePatternAndTextTakeNoTime) {
  std::string pattern;
  for (int i = 0; i < 200; ++i) pattern += "*a";
  EXPECT_FALSE(MatchesGlob(pattern, std::string(4000, 'a') + "b"));
}

TEST(Under, IsItselfAndBelow) {
  EXPECT_TRUE(IsUnder("/srv", "/srv"));
  EXPECT_TRUE(IsUnder("/srv", "/srv/a/b"));
  EXPECT_FALSE(IsUnder("/srv", "/srv2"));
  EXPECT_FALSE(IsUnder("/srv", "/"));
  EXPECT_TRUE(IsUnder("/", "/srv"));
  EXPECT_FALSE(IsUnder("/", "pipe:[4711]"));
}

TEST(Network, FindsIpv4InsideIpv6) {
  IpNetwork ten{MappedIpv4({10, 0, 0, 0}), 104};
  EXPECT_TRUE(ten.Contains(MappedIpv4({10, 255, 0, 1})));
  EXPECT_FALSE(ten.Contains(MappedIpv4({11, 0, 0, 1})));
  IpNetwork odd{MappedIpv4({10, 128, 0, 0}), 96 + 9};
  EXPECT_TRUE(odd.Contains(MappedIpv4({10, 200, 0, 1})));
  EXPECT_FALSE(odd.Contains(MappedIpv4({10, 127, 0, 1})));
  IpNetwork all{IpAddress{}, 0};
  EXPECT_TRUE(all.Contains(MappedIpv4({1, 2, 3, 4})));
}

TEST(Passes, AbsentFieldFailsEveryTest) {
  DeepTest test{.subject = {.kind = DeepSubject::Kind::kUnixPath}, .texts = {"/x"}};
  EXPECT_FALSE(Passes(test, Absent{}));
  test.negated = true;
  EXPECT_FALSE(Passes(test, Absent{}));
  EXPECT_TRUE(Passes(test, std::string("/y")));
}

TypedPolicy ReadForTest(const std::string& text) {
  Read read(text);
  EXPECT_TRUE(read.policy) << read.Messages();
  return read.policy.value_or(TypedPolicy{});
}

abi::Call OpenAt(std::uint64_t flags) {
  return {.nr = 257, .arch = 0xc000003e, .ip = 0, .args = {0, 0, flags, 0, 0, 0}};
}

Verb VerbWithoutLook(const TypedPolicy& policy, const abi::Call& call) {
  return Judge(policy, call).action.verb;
}

TEST(Judge, LooksOnlyWhereItMatters) {
  TypedPolicy policy = ReadForTest(
      "openat: flags has O_CREAT -> errno(EROFS); path under \"/srv\"; else -> errno(EACCES)\n"
      "open: path under \"/etc\" -> errno(EACCES); else -> errno(EACCES)\n");
  EXPECT_EQ(VerbWithoutLook(policy, OpenAt(0100)), Verb::kErrno);
  EXPECT_EQ(VerbWithoutLook(policy, OpenAt(0)), Verb::kLook);
  // Both ways lead to one action.
  EXPECT_EQ(VerbWithoutLook(policy, {.nr = 2, .arch = 0xc000003e, .ip = 0, .args = {}}),
            Verb::kErrno);
}

TEST(Judge, DecidesByWhatIsFound) {
  TypedPolicy policy = ReadForTest(
      "openat: !(path ~ \"/srv/*.txt\") && flags == 0 -> errno(EACCES); path != \"/srv/no.txt\"\n"
      "default: errno(EPERM)\n");
  auto judge = [&](std::string path) {
    return Judge(policy, OpenAt(0), [&](const DeepSubject&) -> DeepValue { return path; });
  };
  EXPECT_EQ(judge("/srv/a.txt").action.verb, Verb::kAllow);
  EXPECT_EQ(judge("/srv/a").action, (PolicyAction{Verb::kErrno, 13}));
  EXPECT_EQ(judge("/srv/no.txt").action, (PolicyAction{Verb::kErrno, 1}));
}

// A race that one author takes must not be taken for the other.
TEST(Judge, ContinueUncheckedDoesNotUnguardAnotherRule) {
  for (const char* text : {"openat: path == \"/a\"; else -> errno(EACCES)\n"
                           "restrict openat: else -> continue_unchecked\n",
                           "openat: else -> continue_unchecked\n"
                           "restrict openat: path == \"/a\"; else -> errno(EACCES)\n",
                           "openat: path == \"/a\"; else -> errno(EACCES)\n"
                           "restrict openat: flags == 0\n"
                           "restrict openat: else -> continue_unchecked\n"}) {
    TypedPolicy policy = ReadForTest(text);
    auto judge = [&](std::string path) {
      return Judge(policy, OpenAt(0), [&](const DeepSubject&) -> DeepValue { return path; });
    };
    EXPECT_EQ(judge("/a").action.verb, Verb::kAllow) << text;
    EXPECT_EQ(judge("/b").action, (PolicyAction{Verb::kErrno, 13})) << text;
  }
}

TEST(Judge, ContinueUncheckedGoesOnWhereNobodyLooks) {
  TypedPolicy policy =
      ReadForTest("openat: flags == 0\nrestrict openat: else -> continue_unchecked\n");
  EXPECT_EQ(Judge(policy, OpenAt(0)).action.verb, Verb::kContinueUnchecked);
}

TEST(Plan, TellsHowEachClauseIsKept) {
  TypedPolicy policy = ReadForTest(
      "openat: flags has O_CREAT -> errno(EROFS); path under \"/srv\"; else -> continue_unchecked\n"
      "read\n");
  std::vector<PlannedRule> plan = PlanPolicy(policy);
  ASSERT_EQ(plan.size(), 2U);
  EXPECT_FALSE(plan[0].NeedsLook());
  EXPECT_TRUE(plan[1].NeedsLook());
  EXPECT_EQ(plan[1].performance, Performance::kReopened);
  std::vector<Soundness> soundness;
  for (const PlannedClause& clause : plan[1].clauses) soundness.push_back(clause.soundness);
  EXPECT_EQ(soundness,
            (std::vector{Soundness::kRegister, Soundness::kCopied, Soundness::kUnchecked}));
  EXPECT_TRUE(NeedsSupervisor(policy));
  EXPECT_FALSE(NeedsSupervisor(ReadForTest("read\nwrite: fd == 1\n")));
}

TEST(MayLetThrough, LooksAtWhatClausesDo) {
  struct Case {
    const char* policy;
    bool may;
  };
  for (Case one : {Case{"read\n", false},
                   {"default: allow\n", true},
                   {"default: allow\nsetns: else -> errno(EPERM)\n", false},
                   {"default: allow\nsetns: nstype == 1 -> errno(EPERM)\n", true},
                   {"setns: 0\n", false},
                   {"setns: nstype == 1\n", true},
                   {"setns: nstype == 1 -> kill\n", false},
                   {"setns: nstype == 1 -> notify\n", true},
                   {"setns: nstype == 1 -> log\n", true},
                   {"setns: else -> errno(EPERM); nstype == 1\n", false},
                   {"nr(308)\n", true},  // its number on x86_64
                   {"setns\nrestrict setns: 0\n", false},
                   {"bad_arch: allow\n", true},
                   {"arch: x86_64, i386\nread\n", false},
                   {"arch: x86_64, i386\nsetns\n", true},
                   {"unknown: allow\n", true}}) {
    EXPECT_EQ(MayLetThrough(ReadForTest(one.policy), "setns"), one.may) << one.policy;
  }
}

TEST(MayLetThrough, NothingComesOfACallThatTheAbiDoesNotHave) {
  EXPECT_FALSE(MayLetThrough(ReadForTest("default: allow\n"), "setgroups32"));
  EXPECT_TRUE(MayLetThrough(ReadForTest("default: allow\nunknown: allow\n"), "setgroups32"));
  EXPECT_TRUE(MayLetThrough(ReadForTest("arch: x86_64, i386\ndefault: allow\n"), "setgroups32"));
}

TEST(Plan, OpenFilesAreAClassOfTheirOwn) {
  TypedPolicy policy = ReadForTest(
      "fsetxattr: flags != 0 -> errno(EPERM); fd.type == file -> errno(EACCES); "
      "fd.path under \"/srv\" && name == \"user.note\"; fd.path == \"/x\"\n");
  std::vector<PlannedRule> plan = PlanPolicy(policy);
  ASSERT_EQ(plan.size(), 1U);
  EXPECT_EQ(plan[0].performance, Performance::kOnDuplicate);
  std::vector<Soundness> soundness;
  for (const PlannedClause& clause : plan[0].clauses) soundness.push_back(clause.soundness);
  EXPECT_EQ(soundness, (std::vector{Soundness::kRegister, Soundness::kObject, Soundness::kCopied,
                                    Soundness::kCopied, Soundness::kCopied}));
}

// Random rules over two registers and three things behind them: the filter's graph says what Judge
// says without a look, and that is right whatever is found.
class Random {
 public:
  explicit Random(std::uint32_t seed) : engine_(seed) {}
  std::uint32_t Below(std::uint32_t limit) { return static_cast<std::uint32_t>(engine_()) % limit; }

  std::string Predicate(int depth) {
    switch (Below(depth > 0 ? 7 : 4)) {
      case 0:
        return "path under \"/a\"";
      case 1:
        return "path == \"/b\"";
      case 2:
        return "flags == " + std::to_string(Below(2));
      case 3:
        return "mode == " + std::to_string(Below(2));
      case 4:
        return "!(" + Predicate(depth - 1) + ")";
      case 5:
        return "(" + Predicate(depth - 1) + " && " + Predicate(depth - 1) + ")";
      default:
        return "(" + Predicate(depth - 1) + " || " + Predicate(depth - 1) + ")";
    }
  }
  std::string Rule() {
    static const char* const kActions[] = {"", " -> errno(EACCES)", " -> kill", " -> return(3)"};
    std::string text;
    for (std::uint32_t i = 0, n = 1 + Below(3); i < n; ++i) {
      text += (i == 0 ? "" : "; ") + Predicate(3) + kActions[Below(4)];
    }
    return text;
  }

 private:
  std::mt19937 engine_;
};

TEST(Split, FilterAsksExactlyWhereRegistersDoNotDecide) {
  const char* scale = std::getenv("CALLGATE_RANDOM_COUNT");
  std::uint32_t count = scale != nullptr ? static_cast<std::uint32_t>(std::atoi(scale)) : 400;
  std::size_t looks = 0, decided = 0;
  for (std::uint32_t seed = 0; seed < count; ++seed) {
    Random random(seed);
    std::string text = "openat: " + random.Rule() + "\n";
    if (random.Below(2) == 0) text += "restrict openat: " + random.Rule() + "\n";
    TypedPolicy policy = ReadForTest(text);
    graph::Graph filter = Lower(policy);
    for (std::uint64_t bits = 0; bits < 9; ++bits) {
      abi::Call call = OpenAt(bits % 3);
      call.args[3] = bits / 3;
      Verdict without = Judge(policy, call);
      auto words = abi::WordsOf(call, std::endian::little);
      ASSERT_EQ(graph::Evaluate(filter.pool, filter.root, words),
                KernelAction(without.action).value())
          << text;
      bool looked = without.action.verb == Verb::kLook;
      ++(looked ? looks : decided);
      for (const char* path : {"/a", "/b", "/c"}) {
        Verdict with =
            Judge(policy, call, [&](const DeepSubject&) -> DeepValue { return std::string(path); });
        ASSERT_NE(with.action.verb, Verb::kLook);
        if (!looked) {
          ASSERT_EQ(with.action, without.action) << text << path;
        }
      }
    }
  }
  EXPECT_GT(looks, count);
  EXPECT_GT(decided, count);
}

}  // namespace
}  // namespace callgate::policy
