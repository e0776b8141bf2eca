#include "policy/lower.h"

#include <gtest/gtest.h>

#include "abi/syscalls.h"
#include "graph/dump.h"
#include "graph/reach.h"
#include "policy/evaluate.h"
#include "policy/reading_for_tests.h"

namespace callgate::policy {
namespace {

using abi::ArchId;

constexpr std::uint32_t kX86 = 0xc000003e;
constexpr std::uint32_t kI386 = 0x40000003;

const PolicyAction kAllowed{Verb::kAllow, 0};
const PolicyAction kDenied{Verb::kErrno, 1};
const PolicyAction kUnknown{Verb::kErrno, 38};
const PolicyAction kForeign{Verb::kKillProcess, 0};

Clause Always(PolicyAction action) {
  Clause clause;
  clause.predicate.truth = true;
  clause.action = action;
  return clause;
}

Clause IfArg0Is(std::uint64_t value, PolicyAction action) {
  Clause clause;
  clause.predicate.kind = Expr::Kind::kCompare;
  clause.predicate.operand.bits = 32;
  clause.predicate.constant = value;
  clause.action = action;
  return clause;
}

Rule RuleFor(std::int32_t nr, std::vector<std::vector<Clause>> lists) {
  Rule rule{.syscall = "call", .nr = nr, .lists = {}};
  for (std::vector<Clause>& clauses : lists) {
    rule.lists.push_back({.clauses = std::move(clauses), .span = {}});
  }
  return rule;
}

TypedPolicy PolicyOf(std::vector<ArchPolicy> arches) {
  TypedPolicy policy;
  policy.arches = std::move(arches);
  policy.default_action = kDenied;
  policy.unknown_action = kUnknown;
  policy.bad_arch_action = kForeign;
  return policy;
}

// What the graph says, as a policy would write it.
std::string Decide(const graph::Graph& graph, std::uint32_t arch, std::int64_t nr,
                   std::uint64_t arg0 = 0) {
  abi::Call call;
  call.nr = static_cast<std::int32_t>(nr);
  call.arch = arch;
  call.args[0] = arg0;
  return abi::RetValueToString(
      graph::Evaluate(graph.pool, graph.root, abi::WordsOf(call, std::endian::little)));
}

TEST(Lower, PolicyWithoutRulesStillKnowsItsNumbers) {
  const graph::Graph graph = Lower(PolicyOf({{.arch = ArchId::kX86_64, .rules = {}}}));
  EXPECT_EQ(Decide(graph, kX86, 0), "errno(EPERM)");
  EXPECT_EQ(Decide(graph, kX86, 5000), "errno(ENOSYS)");
  EXPECT_EQ(Decide(graph, kI386, 0), "kill");
}

TEST(Lower, PolicyForNoArchitectureHasNothingButBadArch) {
  const graph::Graph graph = Lower(PolicyOf({}));
  EXPECT_TRUE(graph.pool[graph.root].is_leaf);
  EXPECT_EQ(Decide(graph, kX86, 0), "kill");
}

TEST(Lower, NumbersAtTheEdgesOfTheX32Range) {
  const ArchPolicy native{.arch = ArchId::kX86_64, .rules = {RuleFor(0, {{Always(kAllowed)}})}};
  const ArchPolicy x32{.arch = ArchId::kX32, .rules = {RuleFor(0x40000000, {{Always(kAllowed)}})}};
  const graph::Graph closed = Lower(PolicyOf({native}));
  const graph::Graph open = Lower(PolicyOf({native, x32}));
  const graph::Graph only_x32 = Lower(PolicyOf({x32}));
  const struct {
    std::int64_t nr;
    const char* closed;
    const char* open;
    const char* only_x32;
  } cases[] = {
      {0, "allow", "allow", "kill"},
      {0x3fffffff, "errno(ENOSYS)", "errno(ENOSYS)", "kill"},
      {0x40000000, "kill", "allow", "allow"},
      {0x40000001, "kill", "errno(EPERM)", "errno(EPERM)"},
      {0x7fffffff, "kill", "errno(ENOSYS)", "errno(ENOSYS)"},
      {0x80000000, "kill", "errno(ENOSYS)", "errno(ENOSYS)"},
      {-2, "kill", "errno(ENOSYS)", "errno(ENOSYS)"},
      {-1, "errno(ENOSYS)", "errno(ENOSYS)", "kill"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(Decide(closed, kX86, c.nr), c.closed) << c.nr;
    EXPECT_EQ(Decide(open, kX86, c.nr), c.open) << c.nr;
    EXPECT_EQ(Decide(only_x32, kX86, c.nr), c.only_x32) << c.nr;
  }
}

TEST(Lower, EachArchitectureHasItsOwnRules) {
  const graph::Graph graph =
      Lower(PolicyOf({{.arch = ArchId::kX86_64, .rules = {RuleFor(1, {{Always(kAllowed)}})}},
                      {.arch = ArchId::kI386, .rules = {RuleFor(4, {{Always(kAllowed)}})}}}));
  EXPECT_EQ(Decide(graph, kX86, 1), "allow");
  EXPECT_EQ(Decide(graph, kX86, 4), "errno(EPERM)");
  EXPECT_EQ(Decide(graph, kI386, 1), "errno(EPERM)");
  EXPECT_EQ(Decide(graph, kI386, 4), "allow");
  EXPECT_EQ(Decide(graph, 0xc00000b7, 4), "kill");
}

// A number that no table knows is ruled like any other; a rule by name goes before a number.
TEST(Lower, NumbersNameCallsThatNoTableKnows) {
  Read read(
      "arch: x86_64, x32\nunknown: errno(ENOSYS)\ndefault: errno(EPERM)\n"
      "nr(335..340): arg0 == 7 -> errno(EACCES)\nread: 0\nnr(0)\nx86_64.nr(-1)\n"
      "x32.nr(1073742335..1073742336)\n");
  EXPECT_EQ(read.Messages(), "");
  ASSERT_TRUE(read.policy);
  const graph::Graph lowered = Lower(*read.policy);
  auto of = [&](std::int32_t nr, std::uint64_t arg0) {
    const abi::Call call{.nr = nr, .arch = kX86, .ip = 0, .args = {arg0}};
    std::string decided = Decide(lowered, kX86, nr, arg0);
    EXPECT_EQ(decided, ToString(Judge(*read.policy, call).action, ArchId::kX86_64));
    return decided;
  };
  EXPECT_EQ(of(0, 0), "errno(EPERM)");
  EXPECT_EQ(of(334, 7), "errno(EPERM)");
  EXPECT_EQ(of(335, 7), "errno(EACCES)");
  EXPECT_EQ(of(335, 0x100000007), "errno(EPERM)");
  EXPECT_EQ(of(340, 7), "errno(EACCES)");
  EXPECT_EQ(of(341, 7), "errno(ENOSYS)");
  EXPECT_EQ(of(-1, 0), "allow");
  EXPECT_EQ(of(-2, 0), "errno(ENOSYS)");
  EXPECT_EQ(of(1073742336, 0), "allow");
}

TEST(Lower, CallNewerThanAsOfIsUnknownUnlessARuleNamesIt) {
  const abi::Syscall* mseal = abi::FindSyscall(ArchId::kX86_64, "mseal");
  ASSERT_NE(mseal, nullptr);
  TypedPolicy policy = PolicyOf({{.arch = ArchId::kX86_64, .rules = {}}});
  EXPECT_EQ(Decide(Lower(policy), kX86, mseal->nr), "errno(EPERM)");
  policy.as_of = abi::KernelVersion{6, 1};
  EXPECT_EQ(Decide(Lower(policy), kX86, mseal->nr), "errno(ENOSYS)");
  policy.arches[0].rules.push_back(RuleFor(mseal->nr, {{IfArg0Is(1, kAllowed)}}));
  EXPECT_EQ(Decide(Lower(policy), kX86, mseal->nr, 1), "allow");
  EXPECT_EQ(Decide(Lower(policy), kX86, mseal->nr, 2), "errno(EPERM)");
}

TEST(Lower, FirstMatchingClauseOfAListAndStrictestOfLists) {
  const PolicyAction trap{Verb::kTrap, 3};
  const graph::Graph graph = Lower(PolicyOf(
      {{.arch = ArchId::kX86_64,
        .rules = {RuleFor(
            1, {{IfArg0Is(1, kAllowed), IfArg0Is(1, trap), Always({Verb::kLog, 0})},
                {IfArg0Is(1, {Verb::kErrno, 2}), IfArg0Is(2, trap), Always(kAllowed)}})}}}));
  EXPECT_EQ(Decide(graph, kX86, 1, 1), "errno(ENOENT)");
  EXPECT_EQ(Decide(graph, kX86, 1, 2), "trap(3)");
  EXPECT_EQ(Decide(graph, kX86, 1, 3), "log");
}

// Bits above a 32-bit argument's width are not the kernel's business: comparing them is the bug
// behind CVE-2019-7303.
TEST(Lower, UpperHalfOfA32BitArgumentIsNotLookedAt) {
  const graph::Graph graph =
      Lower(PolicyOf({{.arch = ArchId::kX86_64,
                       .rules = {RuleFor(16, {{IfArg0Is(0x5412, kDenied), Always(kAllowed)}})}}}));
  EXPECT_EQ(Decide(graph, kX86, 16, 0x5412), "errno(EPERM)");
  EXPECT_EQ(Decide(graph, kX86, 16, 0x1'0000'5412), "errno(EPERM)");
  EXPECT_EQ(Decide(graph, kX86, 16, 0xffff'ffff'0000'5412), "errno(EPERM)");
}

TEST(LowerOptions, SubstituteIsAskedByNumberAndDoesNotChangeWhichActionWins) {
  const PolicyAction trap{Verb::kTrap, 0};
  const TypedPolicy policy =
      PolicyOf({{.arch = ArchId::kX86_64,
                 .rules = {RuleFor(1, {{Always(kDenied)}, {Always({Verb::kTrace, 7})}}),
                           RuleFor(2, {{Always(trap)}}), RuleFor(3, {{Always(kDenied)}})}}});
  LowerOptions options;
  options.filter_action = [](const DecidedCalls& calls, const PolicyAction& action) {
    // As a reporter does: errno verdicts are notified, except for a call that must never be.
    const bool notified = action.verb == Verb::kErrno && calls.nr != 3;
    return notified ? abi::Action{abi::ActionKind::kUserNotif, 0} : KernelAction(action);
  };
  const graph::Graph graph = Lower(policy, options);
  EXPECT_EQ(Decide(graph, kX86, 1), "notify") << "trace outranks nothing that errno was";
  EXPECT_EQ(Decide(graph, kX86, 2), "trap(0)");
  EXPECT_EQ(Decide(graph, kX86, 3), "errno(EPERM)");
  EXPECT_EQ(Decide(graph, kX86, 4), "notify");
  EXPECT_EQ(Decide(graph, kX86, 9000), "notify");
}

TEST(LowerOptions, CallsAreDescribedByAbiAndNumberAsFarAsTheyAreKnown) {
  const TypedPolicy policy =
      PolicyOf({{.arch = ArchId::kX86_64, .rules = {RuleFor(1, {{Always(kAllowed)}})}}});
  bool saw_rule = false;
  bool saw_unknown = false;
  bool saw_foreign = false;
  LowerOptions options;
  options.filter_action = [&](const DecidedCalls& calls, const PolicyAction& action) {
    if (action == kAllowed) {
      saw_rule = calls.arch == ArchId::kX86_64 && calls.nr == 1;
    } else if (action == kUnknown) {
      saw_unknown = calls.arch == ArchId::kX86_64 && !calls.nr;
    } else if (action == kForeign) {
      saw_foreign = !calls.arch && !calls.nr;
    }
    return KernelAction(action);
  };
  Lower(policy, options);
  EXPECT_TRUE(saw_rule);
  EXPECT_TRUE(saw_unknown);
  EXPECT_TRUE(saw_foreign);
}

}  // namespace
}  // namespace callgate::policy
