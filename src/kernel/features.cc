// Every answer comes from trying where trying is harmless: a flag with no program behind it, a
// descriptor that does not exist, a child that is traced and killed. A version number says what a
// kernel was when it was released; distributions take things out and put things in, and sandboxes
// refuse what is there. Only what cannot be tried (the allow-cache) is read off the version.

#include "kernel/features.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <fstream>
#include <functional>

#include "abi/version.h"
#include "fmt/format.h"
#include "kernel/machine.h"

namespace callgate::kernel {
namespace {

using State = Feature::State;

std::string Reason(int errno_value) {
  const char* text = strerrordesc_np(errno_value);
  return text != nullptr ? text : fmt::format("error {}", errno_value);
}

std::string FirstLine(const char* path) {
  std::ifstream file(path);
  std::string line;
  std::getline(file, line);
  return line;
}

// What a child process, which does nothing else, returns.
int InChild(int (*run)()) {
  pid_t pid = fork();
  if (pid < 0) return errno;
  if (pid == 0) _exit(run());
  int status = 0;
  while (waitpid(pid, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : EIO;
}

Feature KernelVersionFeature(abi::KernelVersion version) {
  Feature feature{.name = "kernel", .state = State::kWorks, .detail = abi::ToString(version)};
  if (version < abi::KernelVersion{5, 6}) {
    feature.state = State::kLimited;
    feature.meaning = "callgate run works with --no-supervisor only, and needs Linux 5.3 for that";
    feature.advice = "Linux 5.19 or later has everything";
  }
  return feature;
}

Feature Actions(Kernel& kernel) {
  struct Known {
    std::uint32_t value;
    const char* name;
  };
  constexpr std::array kActions = {
      Known{SECCOMP_RET_KILL_PROCESS, "kill"}, Known{SECCOMP_RET_KILL_THREAD, "kill_thread"},
      Known{SECCOMP_RET_TRAP, "trap"},         Known{SECCOMP_RET_ERRNO, "errno"},
      Known{SECCOMP_RET_TRACE, "trace"},       Known{SECCOMP_RET_LOG, "log"},
      Known{SECCOMP_RET_ALLOW, "allow"}};
  Feature feature{.name = "seccomp filters", .state = State::kWorks, .required = true};
  std::string missing;
  int first_error = 0;
  for (const Known& action : kActions) {
    auto known = kernel.QueryAction(action.value);
    std::string& list = known ? feature.detail : missing;
    list += fmt::format("{}{}", list.empty() ? "" : " ", action.name);
    if (!known && first_error == 0) first_error = known.error();
  }
  if (missing.empty()) return feature;
  feature.meaning = fmt::format("policies cannot use: {}", missing);
  feature.state = feature.detail.empty() ? State::kMissing : State::kLimited;
  if (feature.detail.empty()) {
    feature.detail = Reason(first_error);
    feature.meaning = "nothing can be enforced";
    feature.advice = first_error == ENOSYS || first_error == EINVAL
                         ? "needs Linux 4.14 with CONFIG_SECCOMP_FILTER"
                         : "allow seccomp() in the sandbox or container around callgate";
  }
  return feature;
}

Feature FilterFlags(Kernel& kernel) {
  struct Known {
    std::uint32_t flags;
    const char* name;
    const char* meaning;
  };
  const std::array kFlags = {
      Known{SECCOMP_FILTER_FLAG_TSYNC, "TSYNC", "filters cannot be put on all threads at once"},
      Known{SECCOMP_FILTER_FLAG_LOG, "LOG", "denials cannot go to the kernel log"},
      Known{SECCOMP_FILTER_FLAG_SPEC_ALLOW, "SPEC_ALLOW", ""},
      Known{SECCOMP_FILTER_FLAG_NEW_LISTENER, "NEW_LISTENER", "denied calls are not reported"},
      Known{SECCOMP_FILTER_FLAG_TSYNC_ESRCH, "TSYNC_ESRCH", ""},
      Known{SECCOMP_FILTER_FLAG_NEW_LISTENER | kFlagWaitKillableRecv, "WAIT_KILLABLE_RECV",
            "a signal may make a denied call be reported twice"}};
  Feature feature{.name = "filter flags", .state = State::kWorks};
  for (const Known& flag : kFlags) {
    int answer = kernel.QueryFilterFlags(flag.flags);
    if (answer == EFAULT) {
      feature.detail += fmt::format("{}{}", feature.detail.empty() ? "" : " ", flag.name);
      continue;
    }
    feature.state = State::kLimited;
    if (flag.meaning[0] == '\0') continue;
    feature.meaning +=
        fmt::format("{}no {}: {}", feature.meaning.empty() ? "" : "; ", flag.name, flag.meaning);
  }
  if (feature.detail.empty()) feature.state = State::kMissing;
  return feature;
}

Feature UserNotification(Kernel& kernel) {
  Feature feature{.name = "user notification", .state = State::kWorks};
  auto known = kernel.QueryAction(SECCOMP_RET_USER_NOTIF);
  auto sizes = kernel.QueryNotificationSizes();
  auto taken = kernel.TakeDescriptor(-1, -1);
  if (known && sizes && !taken && taken.error() == EBADF) {
    feature.detail = fmt::format("structures of {}, {} and {} bytes; pidfd_getfd works",
                                 sizes->notification, sizes->response, sizes->data);
    return feature;
  }
  feature.state = State::kMissing;
  feature.meaning = "denied calls cannot be reported; callgate run needs --no-supervisor";
  if (!known) {
    feature.detail = Reason(known.error());
    feature.advice = "needs Linux 5.0, or a sandbox that allows seccomp()";
  } else if (!sizes) {
    feature.detail = Reason(sizes.error());
    feature.advice = "allow seccomp() in the sandbox or container around callgate";
  } else {
    feature.detail = fmt::format("pidfd_getfd: {}", Reason(taken ? 0 : taken.error()));
    feature.advice = "needs Linux 5.6, or a sandbox that allows pidfd_getfd()";
  }
  return feature;
}

Feature Tracing(Kernel& kernel) {
  Feature feature{.name = "tracing children", .state = State::kWorks, .required = true};
  std::string scope = FirstLine("/proc/sys/kernel/yama/ptrace_scope");
  pid_t pid = fork();
  if (pid == 0) {
    while (true) pause();
  }
  int refusal = errno;
  if (pid > 0) {
    auto seized = kernel.Seize(pid, kExitKill);
    refusal = seized ? 0 : seized.error();
    kill(pid, SIGKILL);
    while (waitpid(pid, nullptr, __WALL) < 0 && errno == EINTR) {
    }
  }
  bool restricted = scope == "2" || scope == "3";
  if (refusal == 0 && !restricted) {
    feature.detail = scope.empty() ? "ptrace works; no Yama" : "ptrace works; Yama scope " + scope;
    if (scope == "1") {
      feature.state = State::kLimited;
      feature.meaning =
          "paths and strings of children are reported as addresses, except under "
          "policies that kill";
      feature.advice = "harmless; kernel.yama.ptrace_scope=0 shows them";
    }
    return feature;
  }
  if (refusal == 0) {
    feature.state = State::kLimited;
    feature.detail = "Yama scope " + scope;
  } else {
    feature.state = State::kMissing;
    feature.detail = Reason(refusal);
  }
  feature.meaning = "callgate run cannot put filters on programs";
  feature.advice = restricted ? "set kernel.yama.ptrace_scope to 1, or run as root with scope 2"
                              : "allow ptrace() in the sandbox or container around callgate";
  return feature;
}

Feature AllowCache(abi::KernelVersion version) {
  Feature feature{.name = "cache of allowed calls",
                  .state = State::kWorks,
                  .detail = "by version: since Linux 5.11"};
  if (version >= abi::KernelVersion{5, 11}) return feature;
  feature.state = State::kMissing;
  feature.meaning = "every call runs the filter, also those that are always allowed";
  return feature;
}

Feature Jit() {
  std::string value = FirstLine("/proc/sys/net/core/bpf_jit_enable");
  Feature feature{.name = "filter compiler (JIT)"};
  feature.detail = "net.core.bpf_jit_enable = " + (value.empty() ? "unreadable" : value);
  if (value == "1" || value == "2") {
    feature.state = State::kWorks;
  } else if (value == "0") {
    feature.meaning = "filters run interpreted, several times slower";
    feature.advice = "sysctl net.core.bpf_jit_enable=1";
  } else {
    feature.state = State::kLimited;
    feature.meaning = "unknown whether filters are compiled";
  }
  return feature;
}

Feature Compat() {
  Feature feature{.name = "32-bit programs"};
  bool runs = RunsCompatPrograms();
  feature.state = runs ? State::kWorks : State::kMissing;
  feature.detail = runs ? "run here" : "do not run here";
  if (!runs) feature.meaning = "rules for the 32-bit ABI have no effect";
  return feature;
}

Feature IoUring() {
  Feature feature{.name = "io_uring"};
  std::string sysctl = FirstLine("/proc/sys/kernel/io_uring_disabled");
  // No entries and no parameters: never succeeds.
  int answer = syscall(SYS_io_uring_setup, 0, nullptr) < 0 ? errno : 0;
  bool off = answer == ENOSYS || answer == EPERM;
  feature.state = off ? State::kMissing : State::kWorks;
  feature.detail = off ? Reason(answer) : "usable";
  if (!sysctl.empty()) feature.detail += "; kernel.io_uring_disabled = " + sysctl;
  if (!off) feature.advice = "what it submits passes every filter: deny io_uring_setup in policies";
  return feature;
}

Feature Landlock() {
  long abi = syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  Feature feature{.name = "Landlock"};
  if (abi > 0) {
    feature.state = State::kWorks;
    feature.detail = fmt::format("ABI {}", abi);
    return feature;
  }
  feature.detail = Reason(errno);
  feature.meaning = "rules on path hierarchies and ports cannot be left to the kernel";
  feature.advice = "needs CONFIG_SECURITY_LANDLOCK and lsm=landlock,… on the kernel command line";
  return feature;
}

Feature UserNamespaces() {
  int answer = InChild([] { return unshare(CLONE_NEWUSER) == 0 ? 0 : errno; });
  Feature feature{.name = "user namespaces"};
  feature.state = answer == 0 ? State::kWorks : State::kMissing;
  feature.detail = answer == 0 ? "can be made" : Reason(answer);
  if (answer != 0) feature.meaning = "nothing: callgate run does not use them";
  return feature;
}

Feature MemorySealing() {
  constexpr long kMseal = 462;  // the same number on every ABI
  int answer = syscall(kMseal, 0, 0, 0) < 0 ? errno : 0;
  Feature feature{.name = "memory sealing"};
  feature.state = answer == 0 ? State::kWorks : State::kMissing;
  feature.detail = answer == 0 ? "mseal works" : Reason(answer);
  if (answer != 0) {
    feature.meaning = "paths of execve cannot be pinned for the kernel to read";
    feature.advice = "needs Linux 6.10";
  }
  return feature;
}

Feature BpfLsm() {
  std::string modules = FirstLine("/sys/kernel/security/lsm");
  Feature feature{.name = "BPF LSM"};
  bool listed = ("," + modules + ",").find(",bpf,") != std::string::npos;
  feature.state = listed ? State::kWorks : State::kMissing;
  feature.detail = modules.empty() ? "/sys/kernel/security/lsm is not readable" : modules;
  if (!listed) {
    feature.meaning = "rules on kernel objects need another layer";
    feature.advice = "lsm=…,bpf on the kernel command line; securityfs mounted";
  }
  return feature;
}

Feature PerfEvents() {
  std::string value = FirstLine("/proc/sys/kernel/perf_event_paranoid");
  Feature feature{.name = "perf events"};
  bool open = geteuid() == 0 || (!value.empty() && value[0] == '-');
  feature.state = value.empty() ? State::kMissing : open ? State::kWorks : State::kLimited;
  feature.detail = "kernel.perf_event_paranoid = " + (value.empty() ? "absent" : value);
  if (!open) feature.meaning = "tracepoints cannot be watched without CAP_PERFMON";
  return feature;
}

}  // namespace

std::vector<Feature> ProbeFeatures(Kernel& kernel) {
  utsname name{};
  uname(&name);
  abi::KernelVersion version = abi::ParseKernelVersion(name.release).value_or(abi::KernelVersion{});
  return {KernelVersionFeature(version),
          Actions(kernel),
          FilterFlags(kernel),
          UserNotification(kernel),
          Tracing(kernel),
          AllowCache(version),
          Jit(),
          Compat(),
          IoUring(),
          Landlock(),
          UserNamespaces(),
          MemorySealing(),
          BpfLsm(),
          PerfEvents()};
}

}  // namespace callgate::kernel
