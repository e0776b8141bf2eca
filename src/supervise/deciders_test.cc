#include "supervise/deciders.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <filesystem>
#include <semaphore>
#include <string>

#include "gtest/gtest.h"
#include "supervise/ledger.h"
#include "testing/fake_kernel.h"

namespace callgate::supervise {
namespace {

using std::chrono::milliseconds;
using Refusal = Deciders::Refusal;

// A listener whose calls are put there by the test, and threads that do with them what `decide`
// says.
class DecidersTest : public ::testing::Test {
 protected:
  DecidersTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "deciders.XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    fifo_ = directory_ + "/fifo";
    mkfifo(fifo_.c_str(), 0600);
    listener_ = kernel_.OpenListener();
  }
  ~DecidersTest() override { std::filesystem::remove_all(directory_); }

  Deciders::Callbacks Callbacks(std::function<void(const Turn&)> decide) {
    return {.decide = std::move(decide),
            .refuse =
                [this](const kernel::Notification& call, Refusal why) {
                  (why == Refusal::kOverdue ? overdue_ : overload_).fetch_or(1ULL << call.id);
                },
            .fail = [](std::string_view operation,
                       int errno_value) { ADD_FAILURE() << operation << ": " << errno_value; }};
  }
  void Call(std::uint64_t id) { kernel_.Notify({.id = id, .tid = gettid(), .call = {}}); }

  // Waits until somebody opens the FIFO's other end, or a signal comes.
  int OpenFifo() const {
    int fd = open(fifo_.c_str(), O_RDONLY | O_CLOEXEC);
    int error = fd < 0 ? errno : 0;
    if (fd >= 0) close(fd);
    return error;
  }
  template <typename Condition>
  static bool Becomes(Condition condition) {
    for (int i = 0; i < 2000 && !condition(); ++i) std::this_thread::sleep_for(milliseconds(5));
    return condition();
  }

  testing::FakeKernel kernel_;
  int listener_ = -1;
  std::string directory_, fifo_;
  std::atomic<std::uint64_t> overdue_{0}, overload_{0}, decided_{0};  // bit: id
};

TEST_F(DecidersTest, CallsThatDoNotWaitAreDecidedByOneThread) {
  std::atomic<pid_t> first{0};
  std::atomic<bool> same{true};
  Deciders deciders(kernel_, listener_, Callbacks([&](const Turn& turn) {
                      pid_t expected = 0;
                      if (!first.compare_exchange_strong(expected, gettid())) {
                        if (expected != gettid()) same = false;
                      }
                      decided_.fetch_or(1ULL << turn.notification.id);
                    }));
  for (std::uint64_t id = 0; id < 32; ++id) Call(id);
  ASSERT_TRUE(deciders.Start());
  EXPECT_TRUE(Becomes([&] { return decided_ == 0xffffffff; }));
  EXPECT_TRUE(same);
}

// It was written down by the thread that had taken it: stopped before it got to that, the call was
// in nobody's hand, and the guardian let it wait.
// Around the ticks at which a call is noticed and the lead passes on.
TEST_F(DecidersTest, EachCallIsDecidedOnceHoweverLongItTakes) {
  std::array<std::atomic<int>, 300> times{};
  std::atomic<int> refused{0};
  Deciders::Callbacks callbacks = Callbacks([&](const Turn& turn) {
    const std::uint64_t id = turn.notification.id;
    EXPECT_TRUE(id % 13 != 0 || turn.step_aside());
    if (id % 3 == 0) std::this_thread::sleep_for(milliseconds(id % 41));
    EXPECT_EQ(turn.notification.id, id);
    ++times.at(id);
  });
  callbacks.refuse = [&](const kernel::Notification&, Refusal) { ++refused; };
  Deciders deciders(kernel_, listener_, std::move(callbacks));
  for (std::uint64_t id = 0; id < times.size(); ++id) Call(id);
  ASSERT_TRUE(deciders.Start());
  EXPECT_TRUE(Becomes(
      [&] { return std::ranges::all_of(times, [](const auto& count) { return count == 1; }); }));
  EXPECT_EQ(refused, 0);
}

TEST_F(DecidersTest, CallStandsInTheLedgerAsTheKernelHandsItOut) {
  Ledger ledger{};
  {
    Deciders deciders(kernel_, listener_, Callbacks([&](const Turn& turn) {
                        if (ledger.calls[0].id == turn.notification.id) decided_.fetch_or(1);
                      }),
                      {.ledger = &ledger});
    Call(4);
    ASSERT_TRUE(deciders.Start());
    EXPECT_TRUE(Becomes([&] { return decided_ == 1; }));
  }
  EXPECT_TRUE(ledger.IsEmpty());
}

// Trap 7: a call that is never decided must not be allowed, nor hold up others.
TEST_F(DecidersTest, CallThatHangsIsRefusedAndOthersGoOn) {
  std::binary_semaphore hang(0);
  Deciders deciders(kernel_, listener_, Callbacks([&](const Turn& turn) {
                      if (turn.notification.id == 1) hang.acquire();
                      decided_.fetch_or(1ULL << turn.notification.id);
                    }),
                    {.in_flight = 2, .deadline = milliseconds(200)});
  Call(1);
  Call(2);
  ASSERT_TRUE(deciders.Start());
  EXPECT_TRUE(Becomes([&] { return decided_ == 1U << 2; }));
  EXPECT_TRUE(Becomes([&] { return overdue_ == 1U << 1; }));
  Call(3);
  EXPECT_TRUE(Becomes([&] { return decided_ == (1U << 2 | 1U << 3); }));
  hang.release();
  EXPECT_EQ(overload_, 0U);
}

TEST_F(DecidersTest, WhatComesWhileAllHangIsRefused) {
  std::counting_semaphore hang(0);
  Deciders deciders(kernel_, listener_, Callbacks([&](const Turn& turn) {
                      if (turn.notification.id <= 3) hang.acquire();
                      decided_.fetch_or(1ULL << turn.notification.id);
                    }),
                    {.in_flight = 2, .deadline = milliseconds(200)});
  for (std::uint64_t id = 1; id <= 5; ++id) Call(id);
  ASSERT_TRUE(deciders.Start());
  EXPECT_TRUE(Becomes([&] { return overload_ == (1U << 4 | 1U << 5); }));
  EXPECT_TRUE(Becomes([&] { return overdue_ == (1U << 1 | 1U << 2 | 1U << 3); }));
  hang.release(3);
  EXPECT_TRUE(Becomes([&] { return decided_ == (1U << 1 | 1U << 2 | 1U << 3); }));
  // Room again.
  Call(6);
  EXPECT_TRUE(Becomes([&] { return (decided_ & 1U << 6) != 0; }));
}

// It did when the last free thread was not run for 30 ms, as happens on a busy machine.
TEST_F(DecidersTest, SlowCallWhileAllOthersWaitRefusesNobody) {
  std::binary_semaphore slow(0), waits(0);
  Deciders deciders(kernel_, listener_, Callbacks([&](const Turn& turn) {
                      if (turn.notification.id == 1 && turn.step_aside()) waits.acquire();
                      if (turn.notification.id == 2) slow.acquire();
                      decided_.fetch_or(1ULL << turn.notification.id);
                    }),
                    {.in_flight = 1, .deadline = milliseconds(1000)});
  for (std::uint64_t id = 1; id <= 3; ++id) Call(id);
  ASSERT_TRUE(deciders.Start());
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(decided_, 0U);
  slow.release();
  EXPECT_TRUE(Becomes([&] { return decided_ == (1U << 2 | 1U << 3); }));
  EXPECT_EQ(overload_, 0U);
  waits.release();
}

TEST_F(DecidersTest, WhoeverStepsAsideHasNoDeadline) {
  std::atomic<int> error{-1};
  Deciders deciders(kernel_, listener_, Callbacks([&](const Turn& turn) {
                      EXPECT_TRUE(turn.step_aside());
                      error = OpenFifo();
                    }),
                    {.in_flight = 2, .deadline = milliseconds(50)});
  Call(1);
  ASSERT_TRUE(deciders.Start());
  std::this_thread::sleep_for(milliseconds(200));
  EXPECT_EQ(error, -1);
  int writer = open(fifo_.c_str(), O_WRONLY | O_CLOEXEC);
  EXPECT_TRUE(Becomes([&] { return error != -1; }));
  EXPECT_EQ(error, 0);
  EXPECT_EQ(overdue_, 0U);
  close(writer);
}

TEST_F(DecidersTest, CallerThatIsGoneEndsTheWait) {
  kernel_.gone = {7};
  std::atomic<int> error{-1};
  Deciders deciders(kernel_, listener_, Callbacks([&](const Turn& turn) {
                      EXPECT_TRUE(turn.step_aside());
                      error = OpenFifo();
                    }));
  Call(7);
  ASSERT_TRUE(deciders.Start());
  EXPECT_TRUE(Becomes([&] { return error != -1; }));
  EXPECT_EQ(error, EINTR);
}

// One more than are allowed would be one more thread and six descriptors, and so on without end.
TEST_F(DecidersTest, MoreThanTheLimitMustNotWait) {
  std::atomic<int> ended{0}, refused{0};
  Deciders deciders(kernel_, listener_, Callbacks([&](const Turn& turn) {
                      if (turn.step_aside()) {
                        (void)OpenFifo();
                        ++ended;
                      } else {
                        ++refused;
                      }
                    }),
                    {.in_flight = 8});
  for (std::uint64_t id = 0; id < 11; ++id) Call(id);
  ASSERT_TRUE(deciders.Start());
  EXPECT_TRUE(Becomes([&] { return refused == 3; }));
  int writer = open(fifo_.c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_TRUE(Becomes([&] { return ended == 8; }));
  close(writer);
}

TEST_F(DecidersTest, EndInterruptsThoseThatWait) {
  std::atomic<int> error{-1};
  {
    Deciders deciders(kernel_, listener_, Callbacks([&](const Turn& turn) {
                        EXPECT_TRUE(turn.step_aside());
                        error = OpenFifo();
                        decided_ = 1;
                      }));
    Call(1);
    ASSERT_TRUE(deciders.Start());
    EXPECT_TRUE(Becomes([&] { return kernel_.HasNoNotifications(); }));
  }
  EXPECT_EQ(error, EINTR);
}

TEST_F(DecidersTest, StopSaysWhetherAThreadStillHangs) {
  std::binary_semaphore hang(0);
  Deciders deciders(kernel_, listener_, Callbacks([&](const Turn&) { hang.acquire(); }));
  Call(1);
  ASSERT_TRUE(deciders.Start());
  EXPECT_TRUE(Becomes([&] { return kernel_.HasNoNotifications(); }));
  std::this_thread::sleep_for(milliseconds(50));
  EXPECT_FALSE(deciders.Stop(milliseconds(50)));
  hang.release();
  EXPECT_TRUE(deciders.Stop(milliseconds(5000)));
}

}  // namespace
}  // namespace callgate::supervise
