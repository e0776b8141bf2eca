// Between fork and exec: no allocation, no locks, only async-signal-safe calls. Everything is
// prepared before (PreparedCommand); BecomeProgram may run in the child of a process with many
// threads.
//
// The program must not notice that it has been launched, so the process that was asked to run it
// becomes it, and the supervisor is the one that steps aside: a grandchild in a session of its own,
// which the program neither has to wait for nor can meet in its process group. The process in
// between is made without an exit signal: a SIGCHLD would stay pending across the exec for a
// program that starts with it blocked.
//
// The supervisor must be tracing before the exec, and its death must not let the program run
// unfiltered: it seizes with PTRACE_O_EXITKILL, and the exec waits for its word.

#include "launch/child.h"

#include <fcntl.h>
#include <linux/sched.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

namespace callgate::launch {
namespace {

constexpr char kShell[] = "/bin/sh";

// execvp(3): go on while a candidate is missing, remember one that may not be executed.
int TryCandidates(PreparedCommand& command) {
  int result = ENOENT;
  for (const std::string& path : command.candidates) {
    execve(path.c_str(), command.argv.data(), command.environment);
    if (errno == ENOEXEC) {
      command.shell_argv[1] = const_cast<char*>(path.c_str());
      execve(kShell, command.shell_argv.data(), command.environment);
    }
    switch (errno) {
      case EACCES:
        // A directory of PATH that may not be searched is no reason to say the command is
        // forbidden.
        if (command.candidates.size() == 1 || access(path.c_str(), F_OK) == 0) result = EACCES;
        break;
      case ENOENT:
      case ENOTDIR:
      case ESTALE:
      case ENODEV:
      case ETIMEDOUT:
        break;
      default:
        return errno;
    }
  }
  return result;
}

// In the process between. Its fork is glibc's, so that the supervisor is a whole process.
[[noreturn]] void StartSupervisor(const std::function<void(int)>& supervise, int socket) {
  pid_t pid = fork();
  if (pid == 0) {
    supervise(socket);
    _exit(0);
  }
  _exit(pid < 0 ? errno : 0);
}

}  // namespace

bool SendMessage(int socket, Message message) {
  ssize_t sent = 0;
  do {
    sent = send(socket, &message, sizeof message, MSG_NOSIGNAL);
  } while (sent < 0 && errno == EINTR);
  return sent == sizeof message;
}

bool ReceiveMessage(int socket, Message& message) {
  ssize_t received = 0;
  do {
    received = recv(socket, &message, sizeof message, 0);
  } while (received < 0 && errno == EINTR);
  return received == sizeof message;
}

PreparedCommand PrepareCommand(const std::vector<std::string>& argv) {
  PreparedCommand command;
  command.name = argv.front();
  if (command.name.find('/') != std::string::npos) {
    command.candidates.push_back(command.name);
  } else if (!command.name.empty()) {
    const char* path = std::getenv("PATH");
    std::string_view rest = path != nullptr ? path : "/bin:/usr/bin";
    while (true) {
      std::size_t colon = rest.find(':');
      std::string directory(rest.substr(0, colon));  // empty: the current one
      command.candidates.push_back(directory.empty() ? command.name
                                                     : directory + "/" + command.name);
      if (colon == std::string_view::npos) break;
      rest.remove_prefix(colon + 1);
    }
  }
  command.shell_argv = {const_cast<char*>(kShell), nullptr};
  for (const std::string& argument : argv) {
    command.argv.push_back(const_cast<char*>(argument.c_str()));
    if (&argument != &argv.front()) command.shell_argv.push_back(command.argv.back());
  }
  command.argv.push_back(nullptr);
  command.shell_argv.push_back(nullptr);
  command.environment = environ;
  return command;
}

ChildFailure BecomeProgram(PreparedCommand& command, const std::function<void(int)>& supervise) {
  using Step = ChildFailure::Step;
  int sockets[2];
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets) < 0) {
    return {Step::kSupervisor, errno};
  }
  long between = syscall(SYS_clone, 0, nullptr, nullptr, nullptr, nullptr);
  if (between == 0) {
    close(sockets[0]);
    StartSupervisor(supervise, sockets[1]);
  }
  int clone_errno = errno;
  close(sockets[1]);
  auto fail = [&](Step step, int errno_value) {
    close(sockets[0]);
    return ChildFailure{step, errno_value};
  };
  if (between < 0) return fail(Step::kSupervisor, clone_errno);
  int status = 0;
  while (waitpid(static_cast<pid_t>(between), &status, __WALL) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) != 0) {
    return fail(Step::kSupervisor, WEXITSTATUS(status));
  }

  Message message;
  if (!ReceiveMessage(sockets[0], message)) return fail(Step::kSupervisor, ECHILD);
  // Yama lets only an ancestor trace, unless it is named. Without Yama: EINVAL, of no importance.
  prctl(PR_SET_PTRACER, static_cast<unsigned long>(message.value), 0, 0, 0);
  if (!SendMessage(sockets[0], {Message::Kind::kGo, 0}) || !ReceiveMessage(sockets[0], message)) {
    return fail(Step::kSupervisor, ECHILD);
  }
  if (message.value != 0) return fail(Step::kSeize, message.value);

  ChildFailure failure{Step::kExec, 0};
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0) {
    failure = {Step::kNoNewPrivileges, errno};
  } else {
    for (int fd : command.own_fds) {
      if (fd >= 0) fcntl(fd, F_SETFD, FD_CLOEXEC);
    }
    failure.errno_value = TryCandidates(command);
  }
  // Still traced: ask to be let go, and wait until it is so.
  SendMessage(sockets[0], {Message::Kind::kExecFailed, 0});
  ReceiveMessage(sockets[0], message);
  return fail(failure.step, failure.errno_value);
}

}  // namespace callgate::launch
