#include "policy/multiplex.h"

#include "gtest/gtest.h"
#include "policy/reading_for_tests.h"

namespace callgate::policy {
namespace {

struct Case {
  const char* policy;
  const char* call;
  const char* verdict;
};

class Multiplexers : public testing::TestWithParam<Case> {};

TEST_P(Multiplexers, AreJudgedByTheCallsTheyStandFor) {
  const Read read(std::string("arch: i386\n") + GetParam().policy);
  EXPECT_EQ(read.Of(GetParam().call), GetParam().verdict) << GetParam().policy;
}

INSTANTIATE_TEST_SUITE_P(
    All, Multiplexers,
    testing::Values(
        // A denied call cannot be made through the other door.
        Case{"default: allow\nsocket: else -> deny", "i386.socketcall(1)", "errno(EPERM)"},
        Case{"default: allow\nsocket: else -> deny", "i386.socketcall(2)", "allow"},
        Case{"default: allow\nshmget: else -> errno(EACCES)", "i386.ipc(23)", "errno(EACCES)"},
        // ipc carries a version in the upper half, which must not hide the number.
        Case{"default: allow\nshmget: else -> errno(EACCES)", "i386.ipc(0x10017)", "errno(EACCES)"},
        // An allowed one can.
        Case{"default: deny\nsocket, connect", "i386.socketcall(1)", "allow"},
        Case{"default: deny\nsocket, connect", "i386.socketcall(3)", "allow"},
        Case{"default: deny\nsocket, connect", "i386.socketcall(2)", "errno(EPERM)"},
        Case{"default: deny\nsocket, connect", "i386.socketcall(0)", "errno(EPERM)"},
        // A rule on arguments cannot be applied behind a pointer: the strictest it can give.
        Case{"default: deny\nsocket: domain == AF_UNIX", "i386.socketcall(1)", "errno(EPERM)"},
        Case{"default: allow\nsocket: domain == 40 -> kill", "i386.socketcall(1)", "kill"},
        Case{"default: kill\nsocket: domain == 40 -> deny; else -> allow", "i386.socketcall(1)",
             "errno(EPERM)"},
        Case{"default: allow\nsocket: 1\nrestrict socket: domain != 40 -> log; else -> trap(1)",
             "i386.socketcall(1)", "trap(1)"},
        // Calls that i386 has only through the multiplexer follow their greater brothers.
        Case{"default: allow\naccept4: else -> deny", "i386.socketcall(5)", "errno(EPERM)"},
        Case{"default: allow\nsendto: else -> deny", "i386.socketcall(9)", "errno(EPERM)"},
        Case{"default: allow\nrecvfrom: else -> deny", "i386.socketcall(10)", "errno(EPERM)"},
        Case{"default: allow\nsemtimedop_time64: else -> deny", "i386.ipc(1)", "errno(EPERM)"},
        // A policy that names the multiplexer is taken at its word.
        Case{"default: deny\nsocket: domain == AF_UNIX\nsocketcall: 1", "i386.socketcall(1)",
             "allow"},
        Case{"default: deny\nsocket\nsocketcall: 0", "i386.socketcall(1)", "errno(EPERM)"},
        // One that uses a group with it has not named it.
        Case{"default: deny\n@system-service\noverride socket: domain == AF_UNIX",
             "i386.socketcall(1)", "errno(EPERM)"},
        Case{"default: deny\n@system-service\noverride socket: domain == AF_UNIX",
             "i386.socketcall(2)", "allow"},
        Case{"default: deny\n@system-service\nrestrict shmget: 0", "i386.ipc(23)", "errno(EPERM)"},
        Case{"default: deny\n@system-service\noverride socket: 0\noverride @network-io: 1",
             "i386.socketcall(1)", "allow"},
        // No rule for any call it stands for: the default, as for these calls themselves.
        Case{"default: deny\nread", "i386.socketcall(1)", "errno(EPERM)"}));

TEST(CoverMultiplexers, AbiWithoutThemIsLeftAlone) {
  Read read("default: allow\nsocket: else -> deny");
  EXPECT_EQ(read.policy->arches.front().rules.size(), 1);
}

TEST(CoverMultiplexers, VerdictNamesTheRuleOfTheSplitCall) {
  Read read("arch: i386\ndefault: allow\nread\nsocket: else -> deny");
  auto pattern = ParseCall("i386.socketcall(1)", kHome);
  const Verdict verdict = Judge(*read.policy, pattern->call);
  EXPECT_EQ(read.sources.LineLabel(verdict.span), "t.cg:4");
}

}  // namespace
}  // namespace callgate::policy
