// What a launch test runs: each mode does one thing and says what it saw.

#include <dirent.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

namespace {

int Mkdir(const char* path) { return syscall(SYS_mkdir, path, 0) < 0 ? errno : 0; }

long StatusNumber(const char* label) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    long value = 0;
    if (word == label && status >> value) return value;
  }
  return -1;
}

int Trap() {
  struct sigaction action{};
  action.sa_flags = SA_SIGINFO;
  action.sa_sigaction = [](int, siginfo_t* info, void*) {
    std::printf("SIGSYS code %d errno %d syscall %d\n", info->si_code, info->si_errno,
                info->si_syscall);
  };
  sigaction(SIGSYS, &action, nullptr);
  Mkdir("/trapped");
  return 0;
}

int Thread() {
  std::thread doomed([] {
    pthread_setname_np(pthread_self(), "doomed");
    Mkdir("/doomed");
  });
  doomed.detach();  // its end is not told to pthread_join
  for (int i = 0; i < 1000; ++i) {
    DIR* tasks = opendir("/proc/self/task");
    int count = 0;
    while (readdir(tasks) != nullptr) ++count;
    closedir(tasks);
    if (count == 3) _exit(5);  // ".", ".." and this one
    usleep(1000);
  }
  _exit(6);
}

int ManyThreads() {
  for (int i = 0; i < 16; ++i) {
    std::thread([i] {
      while (true) {
        if (i % 2 == 0) {
          pause();
        } else {
          getppid();
        }
      }
    }).detach();
  }
  usleep(20'000);
  Mkdir("/doomed");
  return 0;
}

int Repeat(int count, int status) {
  for (int i = 0; i < count; ++i) {
    if (Mkdir("/repeated") != EPERM) return 1;
  }
  return status;
}

// Open descriptors, without the one that lists them.
int Descriptors() {
  DIR* folder = opendir("/proc/self/fd");
  std::vector<std::string> lines;
  while (dirent* entry = readdir(folder)) {
    int fd = std::atoi(entry->d_name);
    if (entry->d_name[0] == '.' || fd == dirfd(folder)) continue;
    lines.push_back(entry->d_name + std::string(" flags ") + std::to_string(fcntl(fd, F_GETFD)));
  }
  std::ranges::sort(lines);
  for (const std::string& line : lines) std::printf("%s\n", line.c_str());
  std::printf("next %d\n", dirfd(folder));
  return 0;
}

int State() {
  std::ifstream status("/proc/self/status");
  for (std::string line; std::getline(status, line);) {
    for (std::string_view label : {"SigPnd", "ShdPnd", "SigBlk", "SigIgn", "SigCgt", "Threads",
                                   "Uid", "Gid", "Groups", "CapEff"}) {
      if (line.starts_with(label)) std::printf("%s\n", line.c_str());
    }
  }
  std::printf("leads its group: %d, same session as parent: %d\n", getpgrp() == getpid(),
              getsid(0) == getsid(getppid()));
  std::printf("children: %d\n", waitpid(-1, nullptr, __WALL | WNOHANG) < 0 && errno == ECHILD);
  return 0;
}

int ExecInThread(const char* self) {
  std::thread([self] {
    execl(self, self, "after_exec", nullptr);
    _exit(98);
  }).join();
  return 97;
}

int Attack() {
  auto tracer = static_cast<pid_t>(StatusNumber("TracerPid:"));
  auto tell = [](const char* what, long result) {
    std::printf("%s: %s\n", what, result < 0 ? std::strerror(errno) : "worked");
  };
  tell("ptrace", ptrace(PTRACE_SEIZE, tracer, nullptr, nullptr));
  long pidfd = syscall(SYS_pidfd_open, tracer, 0);
  long taken = -1;
  for (int fd = 0; fd < 64 && taken < 0; ++fd) {
    taken = syscall(SYS_pidfd_getfd, pidfd, fd, 0);
    if (errno != EPERM) break;
  }
  tell("pidfd_getfd", taken);
  sock_filter allow{BPF_RET | BPF_K, 0, 0, SECCOMP_RET_ALLOW};
  sock_fprog program{1, &allow};
  tell("new listener",
       syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_NEW_LISTENER, &program));
  return 0;
}

// Children are killed at every moment of a denied call.
int KilledInCall() {
  for (int i = 0; i < 100; ++i) {
    pid_t pid = fork();
    if (pid == 0) {
      while (true) Mkdir("/killed");
    }
    usleep(static_cast<useconds_t>(i) * 7);
    kill(pid, SIGKILL);
    int status = 0;
    if (waitpid(pid, &status, 0) != pid || !WIFSIGNALED(status)) return 1;
  }
  return Mkdir("/killed") == EPERM ? 0 : 2;
}

volatile sig_atomic_t g_signals = 0;
volatile sig_atomic_t g_sum = 0;

int QueuedSignals() {
  struct sigaction action{};
  action.sa_flags = SA_SIGINFO | SA_RESTART;
  action.sa_sigaction = [](int, siginfo_t* info, void*) {
    g_signals = g_signals + 1;
    g_sum = g_sum + info->si_value.sival_int;
  };
  sigaction(SIGRTMIN, &action, nullptr);
  pid_t child = fork();
  if (child == 0) {
    for (int i = 0; i < 50; ++i) sigqueue(getppid(), SIGRTMIN, {.sival_int = i});
    _exit(0);
  }
  while (waitpid(child, nullptr, WNOHANG) == 0) Mkdir("/busy");
  std::printf("%d signals, sum %d\n", static_cast<int>(g_signals), static_cast<int>(g_sum));
  return 0;
}

int Leak(int count) {
  auto descriptors = [] {
    std::string path = "/proc/" + std::to_string(StatusNumber("TracerPid:")) + "/fd";
    DIR* folder = opendir(path.c_str());
    if (folder == nullptr) return -1;
    int open = 0;
    while (readdir(folder) != nullptr) ++open;
    closedir(folder);
    return open;
  };
  Mkdir("/first");
  int before = descriptors();
  for (int i = 0; i < count; ++i) Mkdir("/repeated");
  int after = descriptors();
  std::puts(before > 0 && after == before ? "no more than before" : "not the same");
  return 0;
}

int Alone() {
  bool has_children = !(waitpid(-1, nullptr, __WALL | WNOHANG) < 0 && errno == ECHILD);
  std::printf("tracer %ld, children %d, errno %d\n", StatusNumber("TracerPid:"), has_children,
              Mkdir("/alone"));
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  std::string_view mode = argc > 1 ? argv[1] : "";
  auto number = [&](int index, int otherwise) {
    return argc > index ? std::atoi(argv[index]) : otherwise;
  };
  if (mode == "trap") return Trap();
  if (mode == "thread") return Thread();
  if (mode == "many_threads") return ManyThreads();
  if (mode == "exit") syscall(SYS_exit_group, number(2, 0));
  if (mode == "repeat") return Repeat(number(2, 1), number(3, 0));
  if (mode == "descriptors") return Descriptors();
  if (mode == "state") return State();
  if (mode == "exec_in_thread") return ExecInThread(argv[0]);
  if (mode == "after_exec") return Mkdir("/after") == EPERM ? 9 : 1;
  if (mode == "attack") return Attack();
  if (mode == "killed_in_call") return KilledInCall();
  if (mode == "queued_signals") return QueuedSignals();
  if (mode == "leak") return Leak(number(2, 1));
  if (mode == "alone") return Alone();
  std::fprintf(stderr, "launch_victim: no mode '%s'\n", argc > 1 ? argv[1] : "");
  return 99;
}
