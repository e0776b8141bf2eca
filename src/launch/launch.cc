// A launch, in order: what the kernel must be able to do is asked before anything starts; the
// command is prepared; the process that is to become the program makes the supervisor and waits
// until it is traced (child.cc); it executes the command; the supervisor puts the filters on at the
// exec stop (attach.cc) and stays (watch.cc) or goes.

#include "launch/launch.h"

#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <utility>

#include "fmt/format.h"
#include "launch/child.h"
#include "launch/decode.h"
#include "launch/guard.h"
#include "launch/report.h"
#include "launch/watch.h"

namespace callgate::launch {
namespace {

constexpr int kOwnFailure = 125;
constexpr int kCannotExecute = 126;
constexpr int kNotFound = 127;
constexpr std::string_view kWithoutSupervisor =
    "use --no-supervisor: the kernel enforces alone then";

LaunchFailure Refusal(std::string operation, int errno_value, std::string reason,
                      std::string_view advice) {
  return {kOwnFailure, base::Error{.operation = std::move(operation),
                                   .subject = {},
                                   .errno_value = errno_value,
                                   .reason = std::move(reason),
                                   .advice = std::string(advice)}};
}

// What can be known before anything starts.
std::optional<LaunchFailure> CheckKernel(const LaunchPlan& plan, kernel::Kernel& kernel) {
  if (!kernel::kLaunchIsPorted) {
    return Refusal("launch a program", 0, "launching is not ported to this architecture yet",
                   "compile the policy and install the filter from the program itself");
  }
  if (auto known = kernel.QueryAction(SECCOMP_RET_KILL_PROCESS); !known) {
    switch (known.error()) {
      case EPERM:
      case EACCES:
        return Refusal("use seccomp filters", known.error(), "a filter around callgate refuses it",
                       "allow seccomp() in the sandbox or container that callgate runs in");
      default:
        return Refusal("use seccomp filters", known.error(),
                       "needs Linux 4.14 with CONFIG_SECCOMP_FILTER, or a sandbox that allows "
                       "seccomp()",
                       "'callgate doctor' shows what works here");
    }
  }
  if (!plan.supervision || !plan.stack.listening) return std::nullopt;
  if (auto known = kernel.QueryAction(SECCOMP_RET_USER_NOTIF); !known) {
    return Refusal("report denied calls", known.error(),
                   "this kernel has no user notification (Linux 5.0)", kWithoutSupervisor);
  }
  auto taken = kernel.TakeDescriptor(-1, -1);
  if (!taken && taken.error() != EBADF) {
    return Refusal(
        "report denied calls", taken.error(),
        "pidfd_getfd does not work here: it needs Linux 5.6, and a sandbox that allows it",
        kWithoutSupervisor);
  }
  return std::nullopt;
}

std::optional<LaunchFailure> CheckPlan(const LaunchPlan& plan) {
  if (plan.argv.empty()) return Refusal("launch a program", 0, "no command given", {});
  if (plan.stack.listening &&
      (!plan.supervision || *plan.stack.listening >= plan.stack.filters.size())) {
    return Refusal("launch a program", 0, "a filter asks for a listener and nobody listens", {});
  }
  for (const bpf::Program& filter : plan.stack.filters) {
    if (filter.empty() || filter.size() > bpf::kMaxInstructions) {
      return Refusal(fmt::format("install filter ({} instructions)", filter.size()), 0,
                     "the kernel takes 1 to 4096", "split the policy");
    }
  }
  if (!plan.supervision) return std::nullopt;
  for (auto [name, fd] : {std::pair("status", plan.supervision->status_fd),
                          std::pair("audit", plan.supervision->audit_fd)}) {
    if (fd < 0 || fcntl(fd, F_GETFD) >= 0) continue;
    return Refusal(fmt::format("write to {} descriptor {}", name, fd), errno, {},
                   fmt::format("open it in the shell: callgate run --{0}-fd 3 … 3>{0}.json", name));
  }
  int handler = plan.supervision->notify_fd;
  int type = 0;
  socklen_t size = sizeof type;
  if (handler < 0) return std::nullopt;
  if (getsockopt(handler, SOL_SOCKET, SO_TYPE, &type, &size) < 0 || type != SOCK_STREAM) {
    return Refusal(fmt::format("ask the handler at descriptor {}", handler), 0,
                   "it is no stream socket", "make one with socketpair(2) and keep its other end");
  }
  return std::nullopt;
}

std::optional<LaunchFailure> AddGuard(LaunchPlan& plan) {
  if (!plan.stack.listening || !MayMakeListener(plan.supervision->explain)) return std::nullopt;
  bpf::Program& filter = plan.stack.filters[*plan.stack.listening];
  if (filter.size() + kGuardInstructions > bpf::kMaxInstructions) {
    return Refusal(
        fmt::format("install filter ({} instructions)", filter.size()), 0,
        fmt::format("a policy that allows seccomp() needs {} more, and the kernel's limit "
                    "is 4096",
                    kGuardInstructions),
        kWithoutSupervisor);
  }
  filter = WithListenerGuard(filter);
  return std::nullopt;
}

// First word after `label` in a file of /proc, the first word of the file if the label is empty.
std::string WordIn(const char* path, std::string_view label) {
  std::ifstream file(path);
  std::string word;
  while (file >> word) {
    if (label.empty()) return word;
    if (word == label) label = {};
  }
  return {};
}

LaunchFailure DescribeSeizeFailure(int errno_value) {
  std::string operation = "trace the program to put the filter on";
  std::string scope = WordIn("/proc/sys/kernel/yama/ptrace_scope", "");
  if (scope == "2") {
    return Refusal(operation, errno_value, "kernel.yama.ptrace_scope is 2",
                   "run as root, or set it to 1");
  }
  if (scope == "3") {
    return Refusal(operation, errno_value, "kernel.yama.ptrace_scope is 3",
                   "set it to 1 at boot; it cannot be lowered later");
  }
  std::string tracer = WordIn("/proc/self/status", "TracerPid:");
  if (!tracer.empty() && tracer != "0") {
    return Refusal(
        operation, errno_value,
        fmt::format("process {} traces it already: strace, a debugger, or the supervisor "
                    "of a 'callgate run' around this one",
                    tracer),
        "start it without; use --no-supervisor for the outer 'callgate run'");
  }
  return Refusal(operation, errno_value, "a sandbox around callgate refuses ptrace",
                 "allow ptrace() there");
}

LaunchFailure Describe(const ChildFailure& failure, const PreparedCommand& command) {
  switch (failure.step) {
    case ChildFailure::Step::kSupervisor:
      return Refusal("start the supervisor", failure.errno_value, {},
                     "a process limit (ulimit -u, pids.max) may be too low");
    case ChildFailure::Step::kSeize:
      return DescribeSeizeFailure(failure.errno_value);
    case ChildFailure::Step::kNoNewPrivileges:
      return Refusal("set no_new_privs", failure.errno_value, {}, {});
    case ChildFailure::Step::kExec:
      break;
  }
  base::Error error{.operation = "run",
                    .subject = command.name,
                    .errno_value = failure.errno_value,
                    .reason = {},
                    .advice = {}};
  if (failure.errno_value == ENOENT || failure.errno_value == ENOTDIR) {
    bool has_path = command.name.find('/') != std::string::npos;
    if (!has_path) {
      error.errno_value = 0;
      error.reason = "command not found";
    } else if (access(command.name.c_str(), F_OK) == 0) {
      error.reason = "the file is there, its interpreter is not";
    }
    return {kNotFound, error};
  }
  return {kCannotExecute, error};
}

// --- in the supervisor -----------------------------------------------------------------------

// Only what it works with stays open: the program's pipes must close when the program closes them.
void CloseAllBut(std::vector<int> kept) {
  std::ranges::sort(kept);
  unsigned first = 0;
  kept.push_back(INT32_MAX);
  for (int fd : kept) {
    if (fd < 0 || static_cast<unsigned>(fd) < first) continue;
    if (static_cast<unsigned>(fd) > first &&
        close_range(first, static_cast<unsigned>(fd) - 1, 0) < 0) {
      // Before Linux 5.9.
      long end = std::min<long>(fd, sysconf(_SC_OPEN_MAX));
      for (long i = first; i < end; ++i) close(static_cast<int>(i));
    }
    first = static_cast<unsigned>(fd) + 1;
  }
}

void ResetSignals() {
  for (int signal = 1; signal < NSIG; ++signal) {
    // Fails for SIGKILL, SIGSTOP and the C library's own: nothing to reset there.
    std::signal(signal, SIG_DFL);
  }
  std::signal(SIGPIPE, SIG_IGN);  // a reader of reports may go; that is seen as EPIPE
  sigset_t mask;
  sigemptyset(&mask);
  sigaddset(&mask, SIGCHLD);
  sigprocmask(SIG_SETMASK, &mask, nullptr);
}

struct SupervisorContext {
  const LaunchPlan& plan;
  kernel::Kernel& kernel;
  pid_t program;
  bool has_errors;  // descriptor 2 was open
};

void RunSupervisor(const SupervisorContext& context, int socket) {
  setsid();
  ResetSignals();
  prctl(PR_SET_NAME, "callgate");
  int status_fd = context.plan.supervision ? context.plan.supervision->status_fd : -1;
  int errors_fd = context.has_errors ? STDERR_FILENO : -1;
  int audit_fd = context.plan.supervision ? context.plan.supervision->audit_fd : -1;
  // One descriptor may be told to take several; each is closed by its own Output.
  if (audit_fd >= 0 && (audit_fd == status_fd || audit_fd == errors_fd)) {
    audit_fd = dup(audit_fd);
    if (audit_fd < 0) return;
  }
  if (status_fd >= 0 && status_fd == errors_fd) {
    status_fd = dup(status_fd);
    if (status_fd < 0) return;
  }
  int notify_fd = context.plan.supervision ? context.plan.supervision->notify_fd : -1;
  int terminal_fd = context.plan.supervision ? context.plan.supervision->terminal_fd : -1;
  CloseAllBut({socket, errors_fd, status_fd, audit_fd, notify_fd, terminal_fd});
  for (int fd = open("/dev/null", O_RDWR); fd >= 0 && fd < STDERR_FILENO;) {
    fd = open("/dev/null", O_RDWR);
    if (fd > STDERR_FILENO) close(fd);
  }
  if (chdir("/") < 0) return;
  // The program runs under the same user: it must not trace us or take our listener.
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);

  sigset_t child_mask;
  sigemptyset(&child_mask);
  sigaddset(&child_mask, SIGCHLD);
  base::UniqueFd signals(signalfd(-1, &child_mask, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) return;

  Message message;
  if (!SendMessage(socket, {Message::Kind::kReady, getpid()}) || !ReceiveMessage(socket, message)) {
    return;
  }
  auto seized = context.kernel.Seize(context.program, kSeizeOptions);
  SendMessage(socket, {Message::Kind::kSeized, seized ? 0 : seized.error()});
  if (!seized) return;
  ReportFormat format =
      context.plan.supervision ? context.plan.supervision->format : ReportFormat::kText;
  Reporter reporter(format, Output(base::UniqueFd(errors_fd)), Output(base::UniqueFd(status_fd)),
                    Output(base::UniqueFd(audit_fd)),
                    DenialRecord(context.plan.supervision ? context.plan.supervision->state_folder
                                                          : std::string()));
  WatchSetup setup{.program = context.program, .socket = socket, .signals = signals.get()};
  Watch(context.kernel, context.plan, setup, reporter);
}

// ---------------------------------------------------------------------------------------------

struct Prepared {
  LaunchPlan plan;
  PreparedCommand command;
};

std::expected<std::unique_ptr<Prepared>, LaunchFailure> Prepare(const LaunchPlan& plan,
                                                                kernel::Kernel& kernel) {
  if (auto refusal = CheckPlan(plan)) return std::unexpected(*refusal);
  if (auto refusal = CheckKernel(plan, kernel)) return std::unexpected(*refusal);
  auto prepared = std::make_unique<Prepared>(Prepared{plan, {}});
  if (auto refusal = AddGuard(prepared->plan)) return std::unexpected(*refusal);
  prepared->command = PrepareCommand(prepared->plan.argv);
  if (plan.supervision) {
    prepared->command.own_fds = {plan.supervision->status_fd, plan.supervision->audit_fd,
                                 plan.supervision->notify_fd};
    // What initialises itself on first use does so here, where no other thread can be cut off in
    // the middle of it by the fork.
    Denial denial;
    denial.decoded = DecodeCall({}, ProcTarget(kernel, 0));
    denial.explanation = plan.supervision->explain({});
    (void)DenialText(denial);
  }
  return prepared;
}

ChildFailure Run(Prepared& prepared, kernel::Kernel& kernel) {
  SupervisorContext context{prepared.plan, kernel, getpid(), fcntl(STDERR_FILENO, F_GETFD) >= 0};
  return BecomeProgram(prepared.command,
                       [&context](int socket) { RunSupervisor(context, socket); });
}

}  // namespace

LaunchFailure Exec(const LaunchPlan& plan, kernel::Kernel& kernel) {
  auto prepared = Prepare(plan, kernel);
  if (!prepared) return prepared.error();
  return Describe(Run(**prepared, kernel), (*prepared)->command);
}

std::expected<pid_t, LaunchFailure> Spawn(const LaunchPlan& plan, kernel::Kernel& kernel) {
  auto prepared = Prepare(plan, kernel);
  if (!prepared) return std::unexpected(prepared.error());
  std::array<int, 2> pipe_fds{};
  if (pipe2(pipe_fds.data(), O_CLOEXEC) < 0) {
    return std::unexpected(Refusal("make a pipe", errno, {}, {}));
  }
  base::UniqueFd result_in(pipe_fds[0]);
  base::UniqueFd result_out(pipe_fds[1]);
  pid_t pid = fork();
  if (pid < 0) return std::unexpected(Refusal("start a process", errno, {}, {}));
  if (pid == 0) {
    ChildFailure failure = Run(**prepared, kernel);
    ssize_t ignored = write(result_out.get(), &failure, sizeof failure);
    _exit(ignored == sizeof failure ? kOwnFailure : kOwnFailure + 1);
  }
  result_out.Reset();
  ChildFailure failure;
  ssize_t size = 0;
  do {
    size = read(result_in.get(), &failure, sizeof failure);
  } while (size < 0 && errno == EINTR);
  if (size != sizeof failure) return pid;  // closed by the exec, or by a death that waitpid reports
  while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
  return std::unexpected(Describe(failure, (*prepared)->command));
}

}  // namespace callgate::launch
