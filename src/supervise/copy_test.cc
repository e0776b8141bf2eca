#include "supervise/copy.h"

#include <cerrno>
#include <cstring>
#include <string>
#include <string_view>

#include "gtest/gtest.h"
#include "testing/fake_kernel.h"

namespace callgate::supervise {
namespace {

constexpr pid_t kTid = testing::FakeKernel::kProgram;

void Put(testing::FakeKernel& kernel, std::uint64_t address, std::string_view text) {
  for (std::size_t i = 0; i < text.size(); ++i) {
    kernel.memory[address + i] = static_cast<std::byte>(text[i]);
  }
}

TEST(CopyString, CrossesPages) {
  testing::FakeKernel kernel;
  std::string text(5000, 'x');
  Put(kernel, 0x1f00, text + '\0');
  EXPECT_EQ(CopyString(kernel, kTid, 0x1f00, 8192), text);
}

// Reading ahead into the next page would make a good call fail with EFAULT.
TEST(CopyString, EndsRightBeforeUnreadablePage) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1ffc, std::string_view("abc\0", 4));
  EXPECT_EQ(CopyString(kernel, kTid, 0x1ffc, kMaxPath), "abc");
}

TEST(CopyString, UnreadableSecondPageIsFault) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1ffc, std::string(100, 'a') + '\0');
  kernel.unreadable_pages = {2};
  EXPECT_EQ(CopyString(kernel, kTid, 0x1ffc, kMaxPath), std::unexpected(EFAULT));
}

TEST(CopyString, UnterminatedWithinTheLimitIsTooLong) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1000, std::string(4096, 'a') + '\0');
  EXPECT_EQ(CopyString(kernel, kTid, 0x1000, kMaxPath), std::unexpected(ENAMETOOLONG));
  Put(kernel, 0x1000, std::string(4095, 'a') + '\0');
  EXPECT_EQ(CopyString(kernel, kTid, 0x1000, kMaxPath), std::string(4095, 'a'));
}

TEST(CopyString, NullPointerIsFault) {
  testing::FakeKernel kernel;
  EXPECT_EQ(CopyString(kernel, kTid, 0, kMaxPath), std::unexpected(EFAULT));
}

TEST(CopyBytes, AreAllOrNothing) {
  testing::FakeKernel kernel;
  Put(kernel, 0x1ffc, "abcdefgh");
  auto bytes = CopyBytes(kernel, kTid, 0x1ffc, 8);
  ASSERT_TRUE(bytes);
  EXPECT_EQ(std::memcmp(bytes->data(), "abcdefgh", 8), 0);
  EXPECT_EQ(CopyBytes(kernel, kTid, 0x1ffc, 9).error(), EFAULT);
  EXPECT_TRUE(CopyBytes(kernel, kTid, 0, 0)->empty());
}

}  // namespace
}  // namespace callgate::supervise
