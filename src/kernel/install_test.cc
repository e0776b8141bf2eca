#include "kernel/install.h"

#include <linux/filter.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <mutex>
#include <thread>

#include "gtest/gtest.h"
#include "testing/fake_kernel.h"

namespace callgate::kernel {
namespace {

// getppid → errno 42, all else allowed.
constexpr std::array kFilter = {sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0},
                                sock_filter{BPF_JMP | BPF_JEQ | BPF_K, 0, 1, 110},
                                sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ERRNO | 42},
                                sock_filter{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW}};

int StatusOfChild(int (*run)()) {
  pid_t pid = fork();
  if (pid == 0) _exit(run());
  int status = 0;
  EXPECT_EQ(waitpid(pid, &status, 0), pid);
  return status;
}

TEST(InstallFilter, JudgesTheNextCallOfThisProcess) {
  int status = StatusOfChild([] {
    auto done = InstallFilter(RealKernel(), std::as_bytes(std::span(kFilter)),
                              InstallScope::kCallingThread);
    if (!done) return 1;
    if (prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) != 1) return 2;
    errno = 0;
    return syscall(SYS_getppid) == -1 && errno == 42 ? 0 : 3;
  });
  EXPECT_EQ(status, 0);
}

TEST(InstallFilter, ReachesThreadsThatRunAlready) {
  int status = StatusOfChild([] {
    std::mutex mutex;
    std::condition_variable changed;
    bool installed = false;
    int seen = 0;
    std::thread other([&] {
      std::unique_lock lock(mutex);
      changed.wait(lock, [&] { return installed; });
      seen = syscall(SYS_getppid) == -1 ? errno : 0;
    });
    auto done =
        InstallFilter(RealKernel(), std::as_bytes(std::span(kFilter)), InstallScope::kAllThreads);
    {
      std::scoped_lock lock(mutex);
      installed = true;
    }
    changed.notify_all();
    other.join();
    return done && seen == 42 ? 0 : 1;
  });
  EXPECT_EQ(status, 0);
}

TEST(InstallFilter, UnprivilegedUsersMayToo) {
  int status = StatusOfChild([] {
    if (setresgid(65534, 65534, 65534) != 0 || setresuid(65534, 65534, 65534) != 0) return 1;
    auto done =
        InstallFilter(RealKernel(), std::as_bytes(std::span(kFilter)), InstallScope::kAllThreads);
    return done && syscall(SYS_getppid) == -1 ? 0 : 2;
  });
  EXPECT_EQ(status, 0);
}

TEST(InstallFilter, RealKernelRefusesAProgramThatDoesNotReturn) {
  constexpr std::array kBad = {sock_filter{BPF_LD | BPF_W | BPF_ABS, 0, 0, 0}};
  auto done =
      InstallFilter(RealKernel(), std::as_bytes(std::span(kBad)), InstallScope::kAllThreads);
  ASSERT_FALSE(done);
  EXPECT_EQ(
      done.error().ToString(),
      "cannot install filter (1 instructions): Invalid argument (the kernel's verifier refuses "
      "it, or the kernel has no seccomp filters)");
}

TEST(InstallFilter, EveryErrnoSaysWhatItMeansHere) {
  struct Case {
    int result;
    const char* message;
  };
  constexpr std::array kCases = {
      Case{-EACCES,
           "cannot install filter (4 instructions): Permission denied (no_new_privs is not set and "
           "CAP_SYS_ADMIN is missing)"},
      Case{-ENOMEM,
           "cannot install filter (4 instructions): Cannot allocate memory (out of memory, or the "
           "filters of this thread would hold more than 32768 instructions, 4 added for each "
           "filter); combine the filters into one"},
      Case{-ESRCH,
           "cannot install filter (4 instructions): No such process (another thread has filters "
           "that this one has not, or is under strict mode); install the first filter before the "
           "threads start"},
      Case{-EFAULT,
           "cannot install filter (4 instructions): Bad address (the program's memory is not "
           "readable)"},
      Case{-ENOSYS,
           "cannot install filter (4 instructions): Function not implemented (this kernel has no "
           "seccomp(2)); needs Linux 3.17 with CONFIG_SECCOMP_FILTER"},
      Case{-EPERM,
           "cannot install filter (4 instructions): Operation not permitted (a filter that is "
           "already installed refuses seccomp())"},
      Case{4711,
           "cannot install filter (4 instructions): thread 4711 has filters that this thread has "
           "not; install the first filter before the threads start"}};
  for (const Case& test : kCases) {
    testing::FakeKernel kernel;
    kernel.add_filter_result = test.result;
    auto done = InstallFilter(kernel, std::as_bytes(std::span(kFilter)), InstallScope::kAllThreads);
    ASSERT_FALSE(done) << test.message;
    EXPECT_EQ(done.error().ToString(), test.message);
    EXPECT_EQ(kernel.filter_flags, std::vector<std::uint32_t>{SECCOMP_FILTER_FLAG_TSYNC});
  }
}

TEST(InstallFilter, NothingIsInstalledWithoutNoNewPrivileges) {
  testing::FakeKernel kernel;
  kernel.no_new_privileges_error = EINVAL;
  auto done = InstallFilter(kernel, std::as_bytes(std::span(kFilter)), InstallScope::kAllThreads);
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().ToString(), "cannot set no_new_privs: Invalid argument");
  EXPECT_TRUE(kernel.filter_flags.empty());
}

}  // namespace
}  // namespace callgate::kernel
