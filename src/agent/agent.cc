// The seccomp agent of OCI runtimes. A runtime that finds SCMP_ACT_NOTIFY in a profile connects to
// its listenerPath, once for each process that it starts in a container, and sends a JSON text and
// the listener of that process's filter.
//
//   runtime ──connects──► Run: accepts, forks, knows nothing of what comes
//                          └► process of the container: Receive → ReadContainer → policy → Serve
//
// Each connection has a process of its own from its first moment on. So what comes over it can hold
// up, confuse, starve or crash nobody else, and all that came with it is closed, on every way out,
// by the end of the process. Whenever a container is not served, its listener is closed by that,
// and the kernel answers its calls with ENOSYS: nothing is let through. The same happens to all
// containers when the process that accepts dies: the others die with it (PR_SET_PDEATHSIG, which
// no instruction of theirs can be late for, also when they are stopped).
//
// Rejected: threads. They would share one descriptor table, one memory and one crash, and save a
// few MB that are shared pages for the most part.
//
// Nobody is traced, since a container's processes have other parents and other tracers. So nothing
// is known of them but what is read for each call (supervise/identities.h, Fixed), and calls that
// only the caller itself could make (execve, chdir) are refused where a rule judges them.

#include "agent/agent.h"

#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <utility>

#include "agent/container.h"
#include "agent/delivery.h"
#include "agent/door.h"
#include "agent/serve.h"
#include "fmt/format.h"
#include "launch/escape.h"
#include "launch/report.h"

namespace callgate::agent {
namespace {

using launch::Reporter;

// Processes that are served or about to be. A node of Kubernetes has some hundred containers.
constexpr int kMaxServed = 1024;
constexpr int kLastWordsMs = 1000;
constexpr std::string_view kRefused = "its calls that notify fail with ENOSYS";

// Standard error is shared by all processes of the agent.
launch::Output Errors() { return launch::Output(base::UniqueFd(dup(STDERR_FILENO))); }

base::Error Refusal(base::Error error, std::string_view advice) {
  error.advice = advice.empty() ? kRefused : fmt::format("{}; {}", kRefused, advice);
  return error;
}

// Is it a listener? By the name that the kernel gives such files, which no other can have: asking
// an unknown file with ioctl(2) might do something to it.
bool IsListener(int fd) {
  std::array<char, 64> name{};
  ssize_t size =
      readlink(fmt::format("/proc/self/fd/{}", fd).c_str(), name.data(), name.size() - 1);
  return size > 0 && std::string_view(name.data()) == "anon_inode:seccomp notify";
}

// --- in the process of one container ---------------------------------------------------------

base::Result<void> ServeContainer(kernel::Kernel& kernel, const Setup& setup, Delivery delivery) {
  auto container = ReadContainer(std::move(delivery.state), delivery.descriptors.size());
  if (!container) {
    return base::Fail(Refusal(std::move(container.error()),
                              "is what connected a runtime (runc 1.1 or later, crun)?"));
  }
  auto refuse = [&](std::string reason, std::string_view advice) {
    return base::Fail(Refusal({.operation = "serve",
                               .subject = Named(container->id),
                               .errno_value = 0,
                               .reason = std::move(reason),
                               .advice = {}},
                              advice));
  };
  base::UniqueFd listener = std::move(delivery.descriptors[container->listener]);
  delivery.descriptors.clear();
  if (!IsListener(listener.get())) {
    return refuse("\"seccompFd\" is no seccomp listener", "is what connected a runtime?");
  }
  auto file = PolicyFile(container->metadata);
  if (!file) {
    return refuse(fmt::format("its listenerMetadata, \"{}\", names no policy",
                              launch::Escape(container->metadata)),
                  "in the profile, use letters, digits, '-', '_' and '.'");
  }
  const std::string path = fmt::format("{}/{}", setup.folder, *file);
  auto supervision = setup.supervise(path);
  if (!supervision) return refuse(supervision.error().reason, supervision.error().advice);
  Reporter reporter(setup.format, Errors(), launch::Output(), launch::Output(),
                    launch::DenialRecord(), container->id);
  reporter.Note(fmt::format("serves {} by {}", Named(container->id), path));
  if (auto served = Serve(kernel, *supervision, listener.get(), reporter); !served) {
    return refuse(served.error().ToString(), {});
  }
  return {};
}

[[noreturn]] void RunContainer(kernel::Kernel& kernel, const Setup& setup, int connection,
                               pid_t agent) {
  (void)prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != agent) _exit(0);  // it died before that
  setsid();                          // Ctrl-C is for the agent
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  Reporter reporter(setup.format, Errors(), launch::Output());
  auto delivery = Receive(connection);
  close(connection);
  if (!delivery) {
    reporter.Failed(Refusal(std::move(delivery.error()), {}));
  } else if (delivery->is_empty()) {
    reporter.Note("a connection brought nothing: a container that failed to start");
  } else if (auto served = ServeContainer(kernel, setup, std::move(*delivery)); !served) {
    reporter.Failed(served.error());
  }
  reporter.Drain(kLastWordsMs);
  _exit(0);
}

// --- in the process that accepts -------------------------------------------------------------

class Agent {
 public:
  Agent(kernel::Kernel& kernel, const Setup& setup, Door& door, int signals)
      : kernel_(kernel),
        setup_(setup),
        door_(door),
        signals_(signals),
        reporter_(setup.format, Errors(), launch::Output()) {}

  base::Result<void> Run() {
    while (true) {
      std::array<pollfd, 3> polled{
          {{.fd = signals_, .events = POLLIN, .revents = 0},
           {.fd = door_.fd(), .events = POLLIN, .revents = 0},
           {.fd = reporter_.unwritten().errors, .events = POLLOUT, .revents = 0}}};
      auto ready = kernel_.Poll(polled, -1);
      if (!ready && ready.error() != EINTR) {
        return base::Fail(base::ErrnoError("poll", setup_.socket, ready.error()));
      }
      if (!ready) continue;
      if (polled[0].revents != 0 && HandleSignals()) return {};
      if (polled[1].revents != 0) Accept();
      if (polled[2].revents != 0) reporter_.Push();
    }
  }

 private:
  // True: it is to end.
  bool HandleSignals() {
    signalfd_siginfo info{};
    while (read(signals_, &info, sizeof info) == sizeof info) {
      if (info.ssi_signo != SIGCHLD) return true;
      Reap();
    }
    return false;
  }

  void Reap() {
    int status = 0;
    for (pid_t pid = 0; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
      --served_;
      if (!WIFSIGNALED(status)) continue;
      reporter_.Failed(
          {.operation = "go on serving",
           .subject = "a container",
           .errno_value = 0,
           .reason = fmt::format("its process, {}, was killed by signal {}", pid, WTERMSIG(status)),
           .advice = std::string(kRefused)});
    }
  }

  void Accept() {
    base::UniqueFd connection(accept4(door_.fd(), nullptr, nullptr, SOCK_CLOEXEC));
    // ECONNABORTED and the like: it is gone. What is out of something stays waiting.
    if (!connection.valid()) return Pause(errno);
    if (served_ >= kMaxServed) {
      return reporter_.Failed(
          Refusal({.operation = "serve",
                   .subject = Named({}),
                   .errno_value = 0,
                   .reason = fmt::format("{} are served already, which is the limit", kMaxServed),
                   .advice = {}},
                  {}));
    }
    pid_t agent = getpid();
    pid_t pid = fork();
    if (pid == 0) RunContainer(kernel_, setup_, connection.Release(), agent);
    if (pid > 0) {
      ++served_;
    } else {
      reporter_.Failed(Refusal(base::ErrnoError("start a process for", Named({})), {}));
    }
  }

  void Pause(int error) {
    if (error != EMFILE && error != ENFILE && error != ENOMEM && error != ENOBUFS) return;
    constexpr useconds_t kMicroseconds = 100'000;
    usleep(kMicroseconds);
  }

  kernel::Kernel& kernel_;
  const Setup& setup_;
  Door& door_;
  const int signals_;
  Reporter reporter_;
  int served_ = 0;
};

}  // namespace

base::Result<void> Run(kernel::Kernel& kernel, const Setup& setup) {
  struct stat status{};
  if (stat(setup.folder.c_str(), &status) < 0) {
    return base::Fail(base::ErrnoError("read policies from", setup.folder));
  }
  if (!S_ISDIR(status.st_mode)) {
    return base::Fail(base::ErrnoError("read policies from", setup.folder, ENOTDIR));
  }
  // Whoever runs as the same user must not take a listener out of it.
  (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
  (void)std::signal(SIGPIPE, SIG_IGN);
  (void)std::signal(SIGCHLD, SIG_DFL);
  sigset_t awaited;
  sigemptyset(&awaited);
  for (int signal : {SIGTERM, SIGINT, SIGCHLD}) sigaddset(&awaited, signal);
  sigprocmask(SIG_BLOCK, &awaited, nullptr);
  base::UniqueFd signals(signalfd(-1, &awaited, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals.valid()) return base::Fail(base::ErrnoError("make a signalfd", ""));
  auto door = Door::Open(setup.socket);
  if (!door) return std::unexpected(door.error());
  return Agent(kernel, setup, *door, signals.get()).Run();
}

}  // namespace callgate::agent
