// What is refused before anything starts, on a kernel that lacks it.

#include "launch/launch.h"

#include <linux/seccomp.h>

#include <cerrno>

#include "gtest/gtest.h"
#include "testing/fake_kernel.h"

namespace callgate::launch {
namespace {

using testing::FakeKernel;

LaunchPlan Plan() {
  LaunchPlan plan;
  plan.argv = {"/bin/true"};
  plan.stack.filters = {{{0x06, 0, 0, SECCOMP_RET_ALLOW}}};
  plan.stack.listening = 0;
  plan.supervision = Supervision{.explain = [](const abi::Call&) { return Explanation{}; },
                                 .explain_deaths = false,
                                 .format = ReportFormat::kText,
                                 .status_fd = -1};
  return plan;
}

void ExpectRefused(FakeKernel& kernel, const LaunchPlan& plan, std::string_view message) {
  LaunchFailure failure = Exec(plan, kernel);
  EXPECT_EQ(failure.exit_code, 125);
  EXPECT_EQ(failure.error.ToString(), message);
  EXPECT_TRUE(kernel.calls.empty());
}

TEST(Launch, AKernelWithoutUserNotificationRunsNothing) {
  FakeKernel kernel;
  kernel.refused_actions[SECCOMP_RET_USER_NOTIF] = EOPNOTSUPP;
  ExpectRefused(kernel, Plan(),
                "cannot report denied calls: Operation not supported (this kernel has no user "
                "notification (Linux 5.0)); use --no-supervisor: the kernel enforces alone then");
}

TEST(Launch, AKernelWithoutFiltersRunsNothing) {
  FakeKernel kernel;
  kernel.refused_actions[SECCOMP_RET_KILL_PROCESS] = EINVAL;
  ExpectRefused(kernel, Plan(),
                "cannot use seccomp filters: Invalid argument (needs Linux 4.14 with "
                "CONFIG_SECCOMP_FILTER, or a sandbox that allows seccomp()); 'callgate doctor' "
                "shows what works here");
}

TEST(Launch, WithoutPidfdGetfdNothingIsReportedAndNothingRuns) {
  FakeKernel kernel;
  kernel.missing_pidfd_getfd = ENOSYS;
  ExpectRefused(kernel, Plan(),
                "cannot report denied calls: Function not implemented (pidfd_getfd does not work "
                "here: it needs Linux 5.6, and a sandbox that allows it); use --no-supervisor: the "
                "kernel enforces alone then");
}

TEST(Launch, AFilterThatIsTooLongRunsNothing) {
  FakeKernel kernel;
  LaunchPlan plan = Plan();
  plan.stack.filters[0].resize(4097, plan.stack.filters[0][0]);
  ExpectRefused(kernel, plan,
                "cannot install filter (4097 instructions): the kernel takes 1 to 4096; split the "
                "policy");
}

TEST(Launch, NothingToRunIsAnError) {
  FakeKernel kernel;
  LaunchPlan plan = Plan();
  plan.argv.clear();
  ExpectRefused(kernel, plan, "cannot launch a program: no command given");
}

}  // namespace
}  // namespace callgate::launch
