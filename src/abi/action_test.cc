#include "abi/action.h"

#include <linux/seccomp.h>

#include "gtest/gtest.h"

namespace callgate::abi {
namespace {

TEST(Action, EnumeratorsAreTheKernelsValues) {
  EXPECT_EQ(Action{ActionKind::kKillProcess}.value(), SECCOMP_RET_KILL_PROCESS);
  EXPECT_EQ(Action{ActionKind::kKillThread}.value(), SECCOMP_RET_KILL_THREAD);
  EXPECT_EQ(Action{ActionKind::kTrap}.value(), std::uint32_t{SECCOMP_RET_TRAP});
  EXPECT_EQ((Action{ActionKind::kErrno, 1}.value()), SECCOMP_RET_ERRNO | 1U);
  EXPECT_EQ(Action{ActionKind::kUserNotif}.value(), std::uint32_t{SECCOMP_RET_USER_NOTIF});
  EXPECT_EQ(Action{ActionKind::kTrace}.value(), std::uint32_t{SECCOMP_RET_TRACE});
  EXPECT_EQ(Action{ActionKind::kLog}.value(), std::uint32_t{SECCOMP_RET_LOG});
  EXPECT_EQ(kAllow.value(), std::uint32_t{SECCOMP_RET_ALLOW});
}

TEST(Action, OutranksInTheKernelsOrder) {
  // seccomp(2), "the highest precedence": strictest first.
  constexpr ActionKind kOrder[] = {
      ActionKind::kKillProcess, ActionKind::kKillThread, ActionKind::kTrap, ActionKind::kErrno,
      ActionKind::kUserNotif,   ActionKind::kTrace,      ActionKind::kLog,  ActionKind::kAllow};
  for (std::size_t i = 0; i < std::size(kOrder); ++i) {
    for (std::size_t j = 0; j < std::size(kOrder); ++j) {
      EXPECT_EQ((Action{kOrder[i], 7}.Outranks(Action{kOrder[j], 9})), i < j) << i << " " << j;
    }
  }
}

TEST(Action, ValuesTheKernelDoesNotKnowAreNoAction) {
  EXPECT_EQ(ActionFromValue(0x7fff0000), kAllow);
  EXPECT_EQ(ActionFromValue(0x00050026), (Action{ActionKind::kErrno, 38}));
  EXPECT_EQ(ActionFromValue(0x7fff1234), (Action{ActionKind::kAllow, 0x1234}));
  for (std::uint32_t value : {0x00010000U, 0x00040000U, 0x12345678U, 0x7ffe0000U, 0xffffffffU}) {
    EXPECT_EQ(ActionFromValue(value), std::nullopt) << value;
  }
}

TEST(Action, IsWrittenAsInAPolicy) {
  EXPECT_EQ(ToString(kAllow), "allow");
  EXPECT_EQ(ToString(kKillProcess), "kill");
  EXPECT_EQ(ToString({ActionKind::kKillThread}), "kill_thread");
  EXPECT_EQ(ToString({ActionKind::kTrap, 3}), "trap(3)");
  EXPECT_EQ(ToString({ActionKind::kErrno, 1}), "errno(EPERM)");
  EXPECT_EQ(ToString({ActionKind::kErrno, 4000}), "errno(4000)");
  EXPECT_EQ(ToString({ActionKind::kErrno, 0}), "errno(0)");
  EXPECT_EQ(ToString({ActionKind::kUserNotif}), "notify");
  EXPECT_EQ(ToString({ActionKind::kTrace, 5}), "trace(5)");
  EXPECT_EQ(ToString({ActionKind::kLog}), "log");
  EXPECT_EQ(RetValueToString(0x00050001), "errno(EPERM)");
  EXPECT_EQ(RetValueToString(0x12345678), "0x12345678 (unknown: kills)");
  EXPECT_EQ(ToString(Action{static_cast<ActionKind>(0x00010000), 2}),
            "0x00010002 (unknown: kills)");
}

}  // namespace
}  // namespace callgate::abi
