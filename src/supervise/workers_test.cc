#include "supervise/workers.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "supervise/engine.h"
#include "testing/fake_kernel.h"

namespace callgate::supervise {
namespace {

using std::chrono::milliseconds;

class WorkersTest : public ::testing::Test {
 protected:
  WorkersTest() {
    std::string pattern = (std::filesystem::temp_directory_path() / "workers.XXXXXX").string();
    directory_ = mkdtemp(pattern.data());
    fifo_ = directory_ + "/fifo";
    mkfifo(fifo_.c_str(), 0600);
  }
  ~WorkersTest() override { std::filesystem::remove_all(directory_); }

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
  std::string directory_, fifo_;
};

TEST_F(WorkersTest, CallerThatIsGoneEndsTheWait) {
  kernel_.gone = {7};
  std::atomic<int> error{-1};
  Workers workers(kernel_);
  ASSERT_TRUE(
      workers.Start({.listener = 3, .id = 7, .tid = gettid()}, [&] { error = OpenFifo(); }));
  EXPECT_TRUE(Becomes([&] { return error != -1; }));
  EXPECT_EQ(error, EINTR);
}

TEST_F(WorkersTest, CallerThatWaitsIsNotDisturbed) {
  std::atomic<int> error{-1};
  Workers workers(kernel_);
  ASSERT_TRUE(
      workers.Start({.listener = 3, .id = 7, .tid = gettid()}, [&] { error = OpenFifo(); }));
  std::this_thread::sleep_for(milliseconds(100));
  EXPECT_EQ(error, -1);
  int writer = open(fifo_.c_str(), O_WRONLY | O_CLOEXEC);
  EXPECT_TRUE(Becomes([&] { return error != -1; }));
  EXPECT_EQ(error, 0);
  close(writer);
}

// One more than are allowed would be one more thread and six descriptors, and so on without end.
TEST_F(WorkersTest, MoreThanTheLimitAreRefused) {
  std::atomic<int> ended{0};
  Workers workers(kernel_);
  Workers::Job job{.listener = 3, .id = 7, .tid = gettid()};
  for (std::size_t i = 0; i < kMaxInFlight; ++i) {
    ASSERT_TRUE(workers.Start(job, [&] {
      (void)OpenFifo();
      ++ended;
    }));
  }
  EXPECT_FALSE(workers.Start(job, [&] { ++ended; }));
  int writer = open(fifo_.c_str(), O_RDWR | O_CLOEXEC);
  EXPECT_TRUE(Becomes([&] { return ended == static_cast<int>(kMaxInFlight); }));
  EXPECT_TRUE(workers.Start(job, [] {}));
  close(writer);
}

TEST_F(WorkersTest, EndInterruptsThoseThatWait) {
  std::atomic<int> error{-1};
  {
    Workers workers(kernel_);
    ASSERT_TRUE(
        workers.Start({.listener = 3, .id = 7, .tid = gettid()}, [&] { error = OpenFifo(); }));
  }
  EXPECT_EQ(error, EINTR);
}

}  // namespace
}  // namespace callgate::supervise
