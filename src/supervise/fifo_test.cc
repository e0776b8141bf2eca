#include "supervise/fifo.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <thread>

#include "base/unique_fd.h"
#include "gtest/gtest.h"

namespace callgate::supervise {
namespace {

class Fifo : public ::testing::Test {
 protected:
  Fifo() {
    std::string pattern = (std::filesystem::temp_directory_path() / "fifo.XXXXXX").string();
    folder_ = mkdtemp(pattern.data());
    name_ = folder_ + "/fifo";
    EXPECT_EQ(mkfifo(name_.c_str(), 0600), 0);
    reader.Reset(open(name_.c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    EXPECT_TRUE(reader.valid());
  }
  ~Fifo() override { std::filesystem::remove_all(folder_); }

  base::UniqueFd Writer() const {
    return base::UniqueFd(open(name_.c_str(), O_WRONLY | O_CLOEXEC));
  }

  base::UniqueFd reader;

 private:
  std::string folder_, name_;
};

TEST_F(Fifo, NobodyHasCome) { EXPECT_FALSE(HasHadWriter(reader.get())); }

TEST_F(Fifo, WriterThatDoesNothingIsSeen) {
  base::UniqueFd writer = Writer();
  EXPECT_TRUE(HasHadWriter(reader.get()));
  EXPECT_EQ(AwaitWriter(reader.get()), 0);
}

TEST_F(Fifo, WriterThatHasGoneIsSeen) {
  Writer().Reset();
  EXPECT_TRUE(HasHadWriter(reader.get()));
  EXPECT_EQ(AwaitWriter(reader.get()), 0);
}

TEST_F(Fifo, WhatItHasWrittenStaysThere) {
  EXPECT_EQ(write(Writer().get(), "x", 1), 1);
  EXPECT_TRUE(HasHadWriter(reader.get()));
  EXPECT_EQ(AwaitWriter(reader.get()), 0);
  std::string read_back(2, ' ');
  EXPECT_EQ(read(reader.get(), read_back.data(), 2), 1);
  EXPECT_EQ(read_back.front(), 'x');
}

TEST_F(Fifo, WriterThatComesLaterEndsTheWait) {
  for (bool stays : {true, false}) {
    base::UniqueFd writer;
    std::thread later([&] {
      std::this_thread::sleep_for(std::chrono::milliseconds(30));
      writer = Writer();
      if (!stays) writer.Reset();
    });
    EXPECT_EQ(AwaitWriter(reader.get()), 0);
    later.join();
  }
}

TEST_F(Fifo, SignalEndsTheWait) {
  struct sigaction action{}, former{};
  action.sa_handler = [](int) {};
  ASSERT_EQ(sigaction(SIGUSR2, &action, &former), 0);
  const pthread_t waiting = pthread_self();
  std::atomic<bool> is_over = false;
  std::thread other([&] {
    while (!is_over) {
      std::this_thread::sleep_for(std::chrono::milliseconds(3));
      pthread_kill(waiting, SIGUSR2);
    }
  });
  EXPECT_EQ(AwaitWriter(reader.get()), EINTR);
  is_over = true;
  other.join();
  sigaction(SIGUSR2, &former, nullptr);
}

}  // namespace
}  // namespace callgate::supervise
