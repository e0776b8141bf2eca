#include "kernel/features.h"

#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "gtest/gtest.h"
#include "testing/fake_kernel.h"

namespace callgate::kernel {
namespace {

Feature Find(const std::vector<Feature>& features, std::string_view name) {
  auto found = std::ranges::find(features, name, &Feature::name);
  if (found == features.end()) ADD_FAILURE() << "no feature " << name;
  return found == features.end() ? Feature{} : *found;
}

TEST(Features, ThisMachineRunsTheTests) {
  std::vector<Feature> features = ProbeFeatures(RealKernel());
  for (const Feature& feature : features) {
    EXPECT_FALSE(feature.detail.empty()) << feature.name;
    EXPECT_EQ(feature.meaning.empty(), feature.state == Feature::State::kWorks) << feature.name;
    if (feature.required) {
      EXPECT_EQ(feature.state, Feature::State::kWorks) << feature.name;
    }
  }
  EXPECT_EQ(Find(features, "user notification").state, Feature::State::kWorks);
}

TEST(Features, ProbingLeavesNoChildren) {
  ProbeFeatures(RealKernel());
  EXPECT_EQ(waitpid(-1, nullptr, __WALL | WNOHANG), -1);
  EXPECT_EQ(errno, ECHILD);
}

TEST(Features, AKernelWithoutUserNotificationIsToldFromASandbox) {
  testing::FakeKernel kernel;
  kernel.refused_actions[SECCOMP_RET_USER_NOTIF] = EOPNOTSUPP;
  Feature feature = Find(ProbeFeatures(kernel), "user notification");
  EXPECT_EQ(feature.state, Feature::State::kMissing);
  EXPECT_EQ(feature.detail, "Operation not supported");
  EXPECT_EQ(feature.meaning, "denied calls cannot be reported; callgate run needs --no-supervisor");
  EXPECT_EQ(feature.advice, "needs Linux 5.0, or a sandbox that allows seccomp()");

  testing::FakeKernel sandbox;
  sandbox.missing_pidfd_getfd = EPERM;
  EXPECT_EQ(Find(ProbeFeatures(sandbox), "user notification").detail,
            "pidfd_getfd: Operation not permitted");
}

TEST(Features, AKernelWithoutFiltersIsMissingWhatIsRequired) {
  testing::FakeKernel kernel;
  for (std::uint32_t action :
       {SECCOMP_RET_KILL_PROCESS, SECCOMP_RET_KILL_THREAD, SECCOMP_RET_TRAP, SECCOMP_RET_ERRNO,
        SECCOMP_RET_TRACE, SECCOMP_RET_LOG, SECCOMP_RET_ALLOW}) {
    kernel.refused_actions[action] = ENOSYS;
  }
  Feature feature = Find(ProbeFeatures(kernel), "seccomp filters");
  EXPECT_EQ(feature.state, Feature::State::kMissing);
  EXPECT_TRUE(feature.required);
  EXPECT_EQ(feature.detail, "Function not implemented");
  EXPECT_EQ(feature.advice, "needs Linux 4.14 with CONFIG_SECCOMP_FILTER");
}

TEST(Features, AnOlderKernelLacksFlagsByName) {
  testing::FakeKernel kernel;
  kernel.known_flags = 0x1f;  // before WAIT_KILLABLE_RECV, Linux 5.19
  Feature feature = Find(ProbeFeatures(kernel), "filter flags");
  EXPECT_EQ(feature.state, Feature::State::kLimited);
  EXPECT_EQ(feature.detail, "TSYNC LOG SPEC_ALLOW NEW_LISTENER TSYNC_ESRCH");
  EXPECT_EQ(feature.meaning,
            "no WAIT_KILLABLE_RECV: a signal may make a denied call be reported twice");
}

TEST(Features, RefusedTracingIsMissing) {
  testing::FakeKernel kernel;
  kernel.seize_error = EPERM;
  Feature feature = Find(ProbeFeatures(kernel), "tracing children");
  EXPECT_EQ(feature.state, Feature::State::kMissing);
  EXPECT_EQ(feature.detail, "Operation not permitted");
  EXPECT_EQ(feature.advice, "allow ptrace() in the sandbox or container around callgate");
}

}  // namespace
}  // namespace callgate::kernel
