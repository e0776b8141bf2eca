#include "kernel/read_filters.h"

#include <linux/filter.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>

#include "gtest/gtest.h"
#include "kernel/install.h"
#include "testing/fake_kernel.h"

namespace callgate::kernel {
namespace {

using testing::FakeKernel;

// Allows all; the number tells filters apart.
std::array<sock_filter, 2> Marked(std::uint32_t number) {
  return {sock_filter{BPF_LD | BPF_IMM, 0, 0, number},
          sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};
}

std::vector<std::byte> Bytes(const std::array<sock_filter, 2>& filter) {
  const auto bytes = std::as_bytes(std::span(filter));
  return {bytes.begin(), bytes.end()};
}

// A child that installs `count` filters and waits to be killed.
pid_t StartChild(std::uint32_t count) {
  int ready[2];
  EXPECT_EQ(pipe(ready), 0);
  const pid_t pid = fork();
  if (pid == 0) {
    for (std::uint32_t i = 0; i < count; ++i) {
      const auto filter = Marked(i);
      const auto done = InstallFilter(RealKernel(), std::as_bytes(std::span(filter)),
                                      InstallScope::kCallingThread);
      if (!done) _exit(1);
    }
    if (write(ready[1], "x", 1) != 1) _exit(2);
    while (true) pause();
  }
  char byte = 0;
  EXPECT_EQ(read(ready[0], &byte, 1), 1);
  close(ready[0]);
  close(ready[1]);
  return pid;
}

void Finish(pid_t pid) {
  kill(pid, SIGKILL);
  EXPECT_EQ(waitpid(pid, nullptr, 0), pid);
}

TEST(FiltersOf, LiveStackIsReadOldestFirstAndTheProcessGoesOn) {
  const pid_t pid = StartChild(2);
  const auto filters = FiltersOf(RealKernel(), pid);
  ASSERT_TRUE(filters.has_value()) << filters.error().ToString();
  EXPECT_EQ(*filters, (std::vector{Bytes(Marked(0)), Bytes(Marked(1))}));
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, WNOHANG), 0);  // neither stopped nor dead
  Finish(pid);
}

TEST(FiltersOf, ProcessWithoutFiltersHasNone) {
  const pid_t pid = StartChild(0);
  const auto filters = FiltersOf(RealKernel(), pid);
  ASSERT_TRUE(filters.has_value()) << filters.error().ToString();
  EXPECT_TRUE(filters->empty());
  Finish(pid);
}

TEST(FiltersOf, DeadProcessIsAnErrorThatNamesIt) {
  const pid_t pid = StartChild(0);
  Finish(pid);
  const auto filters = FiltersOf(RealKernel(), pid);
  ASSERT_FALSE(filters.has_value());
  EXPECT_EQ(filters.error().ToString(),
            "cannot read the filters of process " + std::to_string(pid) + ": No such process");
}

std::string Refusal(int read_error) {
  FakeKernel kernel;
  kernel.read_filter_error = read_error;
  const auto filters = FiltersOf(kernel, FakeKernel::kProgram);
  return filters ? "" : filters.error().ToString();
}

TEST(FiltersOf, EveryRefusalSaysWhyAndTheProcessIsLetGo) {
  EXPECT_EQ(Refusal(EACCES),
            "cannot read the filters of process 100: Permission denied (that takes CAP_SYS_ADMIN "
            "and a caller without a seccomp filter of its own); run callgate as root, outside of a "
            "container");
  EXPECT_EQ(Refusal(EIO),
            "cannot read the filters of process 100: Input/output error (this kernel was built "
            "without CONFIG_CHECKPOINT_RESTORE, or is too old)");
  FakeKernel busy;
  busy.seize_error = EPERM;
  EXPECT_EQ(
      FiltersOf(busy, 100).error().ToString(),
      "cannot read the filters of process 100: Operation not permitted (it has ended, another "
      "program traces it, or it is not yours to trace)");
}

// Such a kernel answers as if the process had none.
TEST(FiltersOf, KernelThatDoesNotTellIsNotTakenForAProcessWithoutFilters) {
  FakeKernel kernel;
  kernel.read_filter_error = EINVAL;
  kernel.filters = {Bytes(Marked(0))};
  const auto filters = FiltersOf(kernel, FakeKernel::kProgram);
  ASSERT_FALSE(filters.has_value());
  EXPECT_EQ(filters.error().ToString(),
            "cannot read the filters of process 100: Input/output error (this kernel was built "
            "without CONFIG_CHECKPOINT_RESTORE, or is too old)");
}

TEST(FiltersOf, ProcessThatHasEndedButIsNotWaitedForIsAnErrorThatSaysSo) {
  const pid_t pid = StartChild(0);
  kill(pid, SIGKILL);
  siginfo_t info;
  ASSERT_EQ(waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  const auto filters = FiltersOf(RealKernel(), pid);
  ASSERT_FALSE(filters.has_value());
  EXPECT_EQ(filters.error().ToString(),
            "cannot read the filters of process " + std::to_string(pid) +
                ": Operation not permitted (it has ended, another program traces it, or it is not "
                "yours to trace)");
  Finish(pid);
}

}  // namespace
}  // namespace callgate::kernel
