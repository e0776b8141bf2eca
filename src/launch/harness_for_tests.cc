#include "launch/harness_for_tests.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <regex>
#include <thread>

#include "fmt/format.h"

namespace callgate::launch {

std::string Contents(int fd) {
  std::string text(static_cast<std::size_t>(lseek(fd, 0, SEEK_END)), '\0');
  EXPECT_EQ(pread(fd, text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  return text;
}

base::UniqueFd TemporaryFile() { return base::UniqueFd(open("/tmp", O_TMPFILE | O_RDWR, 0666)); }

pid_t Start(const Words& command, const std::function<void()>& prepare) {
  pid_t pid = fork();
  if (pid != 0) return pid;
  setenv("LC_ALL", "C", 1);
  setenv("ASAN_OPTIONS", "detect_leaks=0", 1);  // finding leaks takes ptrace, which is in use here
  prepare();
  std::vector<char*> argv;
  for (const std::string& word : command) argv.push_back(const_cast<char*>(word.c_str()));
  argv.push_back(nullptr);
  execv(argv[0], argv.data());
  _exit(99);
}

int WaitFor(pid_t pid) {
  int status = -1;
  auto deadline = Clock::now() + kPatience;
  while (waitpid(pid, &status, WNOHANG) == 0) {
    if (Clock::now() > deadline) {
      ADD_FAILURE() << "process " << pid << " does not end";
      kill(pid, SIGKILL);
      waitpid(pid, &status, 0);
      return -1;
    }
    std::this_thread::sleep_for(milliseconds(1));
  }
  return status;
}

Ran RunCommand(const Words& command, const std::function<void()>& prepare) {
  base::UniqueFd out = TemporaryFile();
  base::UniqueFd err = TemporaryFile();
  pid_t pid = Start(command, [&] {
    dup2(out.get(), 1);
    dup2(err.get(), 2);
    prepare();
  });
  Ran ran{.status = WaitFor(pid)};
  ran.out = Contents(out.get());
  ran.err = Contents(err.get());
  return ran;
}

Words Driver(const Words& policy, const Words& command) {
  Words words{kDriver};
  words.insert(words.end(), policy.begin(), policy.end());
  words.emplace_back("--");
  words.insert(words.end(), command.begin(), command.end());
  return words;
}
Words Shell(const std::string& script) { return {"/bin/sh", "-c", script}; }

void BecomeNobody() {
  if (setresgid(kNobody, kNobody, kNobody) != 0 || setresuid(kNobody, kNobody, kNobody) != 0) {
    _exit(98);
  }
}

std::string WithoutPids(const std::string& text) {
  return std::regex_replace(text, std::regex("(pid|thread) [0-9]+"), "$1 N");
}

pid_t SupervisorOf(pid_t pid) {
  auto deadline = Clock::now() + kPatience;
  while (Clock::now() < deadline) {
    std::ifstream status(fmt::format("/proc/{}/status", pid));
    std::ifstream comm(fmt::format("/proc/{}/comm", pid));
    std::string name;
    std::getline(comm, name);
    for (std::string word; status >> word;) {
      pid_t tracer = 0;
      if (word == "TracerPid:" && status >> tracer && tracer != 0 && name == "sleep") return tracer;
    }
    std::this_thread::sleep_for(milliseconds(2));
  }
  ADD_FAILURE() << "nobody traces " << pid;
  return 0;
}

Ran RunAs::Launch(Words policy, const Words& command, const std::function<void()>& prepare) const {
  policy.emplace_back(GetParam().extra_rule);
  return RunCommand(Driver(policy, command), [&] {
    if (GetParam().as_nobody) BecomeNobody();
    prepare();
  });
}

}  // namespace callgate::launch
