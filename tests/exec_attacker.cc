// Tries to start a program it is denied past a supervisor that judges execve, by changing what is
// looked at while the supervisor decides.
//
//   exec_attacker KIND ATTEMPTS UNTIL_SUCCESS DIRECTORY
//
// DIRECTORY holds a/x, which is allowed, and b/x, which is not: copies of this program, which tell
// by their exit status what they were started as. Prints how often each was reached.

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

namespace {

constexpr std::size_t kPage = 4096;
// What the copies end with; nothing else of a failed start does.
constexpr int kRanAllowed = 40, kRanDenied = 41, kNotStarted = 42;

std::string directory, allowed, denied;

// Of a copy: is it, or was it given, what the policy denies?
int TellWhatRuns(int argc, char** argv) {
  std::array<char, 4096> self{};
  ssize_t size = readlink("/proc/self/exe", self.data(), self.size() - 1);
  std::string name(self.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
  const char* mode = std::getenv("MODE");
  bool is_denied = name.find("/b/") != std::string::npos ||
                   (argc > 1 && std::strcmp(argv[1], "b") == 0) ||
                   (mode != nullptr && std::strcmp(mode, "b") == 0);
  return is_denied ? kRanDenied : kRanAllowed;
}

struct Attack {
  std::function<void()> start;      // in the child: execve, which returns if it fails
  std::function<void()> interfere;  // over and over
  bool in_process = false;          // interfere from another process, which shares a mapping
  int clone_flags = 0;              // of the child, which shares the attacker's memory
};

// What every start is made with, unless it is what is changed.
std::array<const char*, 3> arguments{"x", "a", nullptr};
std::array<const char*, 2> variables{"MODE=a", nullptr};

void Execve(const char* path) { syscall(SYS_execve, path, arguments.data(), variables.data()); }

bool Alternate() {
  static bool turn = false;
  turn = !turn;
  return turn;
}

char* Buffer(int flags, int fd) {
  void* page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (page == MAP_FAILED) std::abort();
  std::strcpy(static_cast<char*>(page), allowed.c_str());
  return static_cast<char*>(page);
}
std::size_t FlipPlace() { return directory.size() + 1; }

Attack FlipIn(char* buffer) {
  return {.start = [buffer] { Execve(buffer); },
          .interfere = [buffer] { buffer[FlipPlace()] ^= 'a' ^ 'b'; }};
}

Attack WriteMemfd() {
  static int fd = memfd_create("path", MFD_CLOEXEC);
  (void)!ftruncate(fd, kPage);
  Attack attack = FlipIn(Buffer(MAP_SHARED, fd));
  attack.interfere = [] {
    (void)!pwrite(fd, Alternate() ? "b" : "a", 1, static_cast<off_t>(FlipPlace()));
  };
  return attack;
}

Attack Remap() {
  static char* page = Buffer(MAP_PRIVATE | MAP_ANONYMOUS, -1);
  return {.start = [] { Execve(page); },
          .interfere =
              [] {
                munmap(page, kPage);
                (void)mmap(page, kPage, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
                std::strcpy(page, (Alternate() ? denied : allowed).c_str());
              }};
}

// A link is replaced; `text` makes what it leads to.
std::function<void()> ReplaceLink(const std::string& link) {
  return [link] {
    std::string next = link + ".next";
    (void)!symlink((Alternate() ? denied : allowed).c_str(), next.c_str());
    rename(next.c_str(), link.c_str());
  };
}
Attack SwapLink() {
  static std::string link = directory + "/link";
  ReplaceLink(link)();
  return {.start = [] { Execve(link.c_str()); }, .interfere = ReplaceLink(link)};
}

void WriteScript(const std::string& path, const std::string& interpreter) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  std::string text = "#!" + interpreter + "\n";
  (void)!write(fd, text.data(), text.size());
  close(fd);
}

// The script names a link as its interpreter, and that is replaced.
Attack SwapInterpreter() {
  static std::string script = directory + "/s", link = directory + "/link";
  ReplaceLink(link)();
  WriteScript(script, link);
  return {.start = [] { Execve(script.c_str()); }, .interfere = ReplaceLink(link)};
}

// The script is replaced by one with another first line.
Attack SwapScript() {
  static std::string script = directory + "/s", good = directory + "/s.a", bad = directory + "/s.b";
  WriteScript(good, allowed);
  WriteScript(bad, denied);
  WriteScript(script, allowed);
  return {.start = [] { Execve(script.c_str()); },
          .interfere =
              [] {
                static std::string next = directory + "/next";
                (void)!link((Alternate() ? bad : good).c_str(), next.c_str());
                rename(next.c_str(), script.c_str());
              }};
}

Attack SwapDescriptor() {
  static int a = open((directory + "/a").c_str(), O_PATH | O_CLOEXEC);
  static int b = open((directory + "/b").c_str(), O_PATH | O_CLOEXEC);
  static int used = fcntl(a, F_DUPFD_CLOEXEC, 100);
  return {.start = [] { syscall(SYS_execveat, used, "x", arguments.data(), variables.data(), 0); },
          .interfere = [] { dup3(Alternate() ? b : a, used, O_CLOEXEC); },
          .clone_flags = CLONE_FILES};
}

Attack SwapWorkingDirectory() {
  return {.start = [] { Execve("x"); },
          .interfere = [] { (void)!chdir((directory + (Alternate() ? "/b" : "/a")).c_str()); },
          .clone_flags = CLONE_FS};
}

Attack FlipArgument() {
  static std::array<char, 2> argument{"a"};
  arguments[1] = argument.data();
  return {.start = [] { Execve(allowed.c_str()); }, .interfere = [] { argument[0] ^= 'a' ^ 'b'; }};
}

// The pointer itself.
Attack SwapArgument() {
  return {.start = [] { Execve(allowed.c_str()); },
          .interfere = [] { arguments[1] = Alternate() ? "b" : "a"; }};
}

Attack FlipVariable() {
  static std::array<char, 7> variable{"MODE=a"};
  variables[0] = variable.data();
  return {.start = [] { Execve(allowed.c_str()); }, .interfere = [] { variable[5] ^= 'a' ^ 'b'; }};
}

// A child that the supervisor does not trace. Its exec stop would be nobody's, or ours.
Attack Untraced() {
  Attack attack = FlipIn(Buffer(MAP_PRIVATE | MAP_ANONYMOUS, -1));
  attack.clone_flags = CLONE_UNTRACED;
  return attack;
}

Attack AttackNamed(const std::string& kind) {
  if (kind == "exec_flip") return FlipIn(Buffer(MAP_PRIVATE | MAP_ANONYMOUS, -1));
  if (kind == "exec_shared_page") {
    Attack attack = FlipIn(Buffer(MAP_SHARED | MAP_ANONYMOUS, -1));
    attack.in_process = true;
    return attack;
  }
  if (kind == "exec_memfd") return WriteMemfd();
  if (kind == "exec_munmap") return Remap();
  if (kind == "exec_symlink") return SwapLink();
  if (kind == "exec_interpreter") return SwapInterpreter();
  if (kind == "exec_script") return SwapScript();
  if (kind == "exec_dup2") return SwapDescriptor();
  if (kind == "exec_chdir") return SwapWorkingDirectory();
  if (kind == "exec_argument") return FlipArgument();
  if (kind == "exec_argv") return SwapArgument();
  if (kind == "exec_variable") return FlipVariable();
  if (kind == "exec_untraced") return Untraced();
  std::fprintf(stderr, "unknown attack %s\n", kind.c_str());
  std::exit(2);
}

std::atomic<bool> stop{false};

// A thread, or a process that shares a mapping.
class Interferer {
 public:
  explicit Interferer(const Attack& attack) {
    if (!attack.in_process) {
      thread_ = std::thread([&attack] {
        while (!stop) attack.interfere();
      });
      return;
    }
    process_ = fork();
    if (process_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      while (true) attack.interfere();
    }
  }
  ~Interferer() {
    stop = true;
    if (thread_.joinable()) thread_.join();
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
  }

 private:
  std::thread thread_;
  pid_t process_ = 0;
};

int RunChild(void* attack) {
  static_cast<const Attack*>(attack)->start();
  syscall(SYS_exit, kNotStarted);
  return kNotStarted;
}

// As posix_spawn(3) does: the child borrows our memory until it has become something else, so that
// our threads can change what it passes.
int StartOnce(Attack& attack) {
  static std::array<char, 64 * kPage> stack;
  pid_t child = clone(RunChild, stack.data() + stack.size(),
                      CLONE_VM | CLONE_VFORK | SIGCHLD | attack.clone_flags, &attack);
  if (child < 0) {
    std::perror("clone");
    std::exit(3);
  }
  if ((attack.clone_flags & CLONE_UNTRACED) != 0) {
    // Too late for the exec, and the supervisor must have refused it already.
    ptrace(PTRACE_SEIZE, child, nullptr, nullptr);
  }
  int status = 0;
  while (waitpid(child, &status, __WALL) != child || WIFSTOPPED(status)) {
    if (WIFSTOPPED(status)) ptrace(PTRACE_CONT, child, nullptr, nullptr);
  }
  return status;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 5) return TellWhatRuns(argc, argv);
  long attempts = std::atol(argv[2]);
  bool until_success = std::string(argv[3]) == "until-success";
  directory = argv[4];
  allowed = directory + "/a/x";
  denied = directory + "/b/x";
  if (chdir((directory + "/a").c_str()) < 0) return 3;

  Attack attack = AttackNamed(argv[1]);
  long reached_allowed = 0, reached_denied = 0, refused = 0;
  {
    Interferer interferer(attack);
    for (long i = 0; i < attempts; ++i) {
      int status = StartOnce(attack);
      bool ran = WIFEXITED(status) && WEXITSTATUS(status) != kNotStarted;
      if (!ran) {
        ++refused;
      } else if (WEXITSTATUS(status) == kRanDenied) {
        ++reached_denied;
      } else if (WEXITSTATUS(status) == kRanAllowed) {
        ++reached_allowed;
      } else {
        std::fprintf(stderr, "status %d\n", status);
        return 3;
      }
      if (until_success && reached_denied > 0) break;
    }
  }
  std::printf("reached allowed %ld, denied %ld; refused %ld\n", reached_allowed, reached_denied,
              refused);
  return 0;
}
