// Modules are loaded nowhere here: the images are none, and what the kernel says of them depends on
// who runs the test, and on whether it loads modules at all. It is asked.

#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>
#include <vector>

#include "gtest/gtest.h"
#include "supervise/engine.h"
#include "testing/fake_kernel.h"

namespace callgate::supervise {
namespace {

using policy::PolicyAction;
using policy::Verb;

constexpr std::uint64_t kImageAt = 0x10000, kTextAt = 0x1000;
constexpr std::size_t kImageSize = 128;
using Replies = std::vector<std::pair<std::uint64_t, int>>;

// A waiting call of this very process, so that who calls can be read.
kernel::Notification InitModule(std::uint64_t image, std::uint64_t size, std::uint64_t text) {
  return {.id = 1,
          .tid = gettid(),
          .call = {.nr = SYS_init_module,
                   .arch = 0xc000003e,
                   .ip = 0,
                   .args = {image, size, text, 0, 0, 0}}};
}

void Put(testing::FakeKernel& kernel, std::string_view text) {
  for (std::size_t i = 0; i < kImageSize; ++i) kernel.memory[kImageAt + i] = std::byte{'m'};
  for (std::size_t i = 0; i <= text.size(); ++i) {
    kernel.memory[kTextAt + i] = i < text.size() ? static_cast<std::byte>(text[i]) : std::byte{};
  }
}

int ErrnoOfNoModule() {
  static const std::array<char, kImageSize> image{};
  return syscall(SYS_init_module, image.data(), image.size(), "") < 0 ? errno : 0;
}

// Allows what has these parameters.
DecideFunction Wants(const std::string& parameters) {
  return [parameters](const abi::Call&, const policy::LookFunction& look) {
    if (!look) return PolicyAction{Verb::kLook, 0};
    auto seen = look({.kind = policy::DeepSubject::Kind::kString, .slot = 2});
    return seen == policy::DeepValue(parameters) ? PolicyAction{Verb::kAllow, 0}
                                                 : PolicyAction{Verb::kErrno, EXFULL};
  };
}

Outcome Handle(testing::FakeKernel& kernel, const kernel::Notification& notification,
               const DecideFunction& decide) {
  return Engine(kernel).Handle({.listener = 77, .notification = notification}, decide);
}

TEST(Module, WithParametersThatAreDeniedIsRefused) {
  testing::FakeKernel kernel;
  Put(kernel, "debug=1");
  Outcome outcome = Handle(kernel, InitModule(kImageAt, kImageSize, kTextAt), Wants("debug=0"));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.errno_value, EXFULL);
  EXPECT_TRUE(kernel.replies.empty());
  EXPECT_TRUE(kernel.continued.empty());
}

TEST(Module, WithParametersThatAreAllowedIsWhatTheKernelSaysItIs) {
  testing::FakeKernel kernel;
  Put(kernel, "debug=0");
  Handle(kernel, InitModule(kImageAt, kImageSize, kTextAt), Wants("debug=0"));
  EXPECT_EQ(kernel.replies, (Replies{{1, ErrnoOfNoModule()}}));
  EXPECT_TRUE(kernel.continued.empty());
}

TEST(Module, WithoutParametersHasNone) {
  testing::FakeKernel kernel;
  Put(kernel, "");
  Outcome outcome = Handle(kernel, InitModule(kImageAt, kImageSize, 0), Wants(""));
  EXPECT_EQ(outcome.kind, Outcome::Kind::kRefused);
  EXPECT_EQ(outcome.errno_value, EXFULL);
  EXPECT_TRUE(kernel.replies.empty());
}

// The file of a descriptor that is none cannot be asked for either.
TEST(Module, OfNoFileIsWhatTheKernelSaysItIs) {
  testing::FakeKernel kernel;
  Put(kernel, "");
  kernel::Notification notification = InitModule(0, kTextAt, 0);
  notification.call.nr = SYS_finit_module;
  notification.call.args[0] = static_cast<std::uint64_t>(-1);
  Handle(kernel, notification, [](const abi::Call&, const policy::LookFunction& look) {
    return PolicyAction{look ? Verb::kAllow : Verb::kLook, 0};
  });
  const int said = syscall(SYS_finit_module, -1, "", 0) < 0 ? errno : 0;
  EXPECT_EQ(kernel.replies, (Replies{{1, said}}));
}

}  // namespace
}  // namespace callgate::supervise
