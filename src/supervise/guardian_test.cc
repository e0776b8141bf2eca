#include "supervise/guardian.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <memory>

#include "gtest/gtest.h"
#include "testing/fake_kernel.h"

namespace callgate::supervise {
namespace {

constexpr int kPatience = 3;

kernel::Notification Call(std::uint64_t id) { return {.id = id, .tid = 1, .call = {}}; }

TEST(Guardian, RefusesWhatWaitsOnlyAfterAllItsPatience) {
  testing::FakeKernel kernel;
  kernel.notifications = {Call(7), Call(8)};
  auto ledger = std::make_unique<Ledger>();
  ledger->calls[3].id = 5;
  ledger->calls[64].id = 6;
  GuardianRound round(kernel, kernel.OpenListener(), *ledger, kPatience);
  for (int i = 0; i < kPatience - 1; ++i) EXPECT_TRUE(round.Look());
  EXPECT_TRUE(kernel.replies.empty());
  EXPECT_TRUE(round.Look());
  EXPECT_EQ(kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{
                                {5, ETIMEDOUT}, {6, ETIMEDOUT}, {7, ETIMEDOUT}, {8, ETIMEDOUT}}));
}

TEST(Guardian, SupervisorThatDoesSomethingIsLeftAlone) {
  testing::FakeKernel kernel;
  kernel.notifications = {Call(7)};
  auto ledger = std::make_unique<Ledger>();
  ledger->calls[0].id = 5;
  GuardianRound round(kernel, kernel.OpenListener(), *ledger, kPatience);
  for (int i = 0; i < 10 * kPatience; ++i) {
    ledger->Step();
    EXPECT_TRUE(round.Look());
  }
  EXPECT_TRUE(kernel.replies.empty());
}

TEST(Guardian, CallThatAKilledGuardianHadTakenIsRefusedByTheNextOne) {
  testing::FakeKernel kernel;
  auto ledger = std::make_unique<Ledger>();
  ledger->calls[Ledger::kGuardian].id = 9;
  GuardianRound round(kernel, kernel.OpenListener(), *ledger, kPatience);
  round.RefuseInherited();
  round.RefuseInherited();
  EXPECT_EQ(kernel.replies, (std::vector<std::pair<std::uint64_t, int>>{{9, ETIMEDOUT}}));
  EXPECT_TRUE(ledger->IsEmpty());
}

TEST(Guardian, PatienceBeginsAgainAfterEveryStep) {
  testing::FakeKernel kernel;
  auto ledger = std::make_unique<Ledger>();
  ledger->calls[0].id = 5;
  GuardianRound round(kernel, kernel.OpenListener(), *ledger, kPatience);
  for (int i = 0; i < 10; ++i) {
    for (int j = 0; j < kPatience - 1; ++j) round.Look();
    ledger->Step();
    round.Look();
  }
  EXPECT_TRUE(kernel.replies.empty());
}

TEST(Guardian, HoldsNothingOpenThatIsOpenWhenItIsMade) {
  testing::FakeKernel kernel;
  for (int i = 0; i < 20; ++i) {
    std::array<int, 2> pipe_ends{};
    ASSERT_EQ(pipe2(pipe_ends.data(), O_CLOEXEC), 0);
    Guardian guardian(kernel, kernel.OpenListener(), std::chrono::seconds(5));
    ASSERT_TRUE(guardian.Start());
    close(pipe_ends[1]);
    pollfd reader{.fd = pipe_ends[0], .events = 0, .revents = 0};
    EXPECT_EQ(poll(&reader, 1, 0), 1);
    close(pipe_ends[0]);
  }
}

}  // namespace
}  // namespace callgate::supervise
