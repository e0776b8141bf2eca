// execve and execveat. What is started is a copy of the prober, which tells what it was given.

#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {
namespace {

constexpr int kExecCheck = 0x10000;  // AT_EXECVE_CHECK, Linux 6.14
constexpr int kProgramFd = 70, kScriptFd = 71;

struct Vector {
  const char* shown;
  const char* const* pointer;
};
const std::string kFits(131'071, 'x'), kTooLong(131'072, 'x');
const std::array<const char*, 3> kPlain{"zeroth", "first", nullptr};
const std::array<const char*, 1> kNone{nullptr};
const std::array<const char*, 2> kBad{kBadPointer, nullptr};
const std::array<const char*, 3> kLong{"zeroth", kFits.c_str(), nullptr};
const std::array<const char*, 3> kLonger{"zeroth", kTooLong.c_str(), nullptr};
const std::array<const char*, 3> kTwice{"A=1", "A=2", nullptr};

std::vector<Vector> Arguments() {
  return {{"plain", kPlain.data()},  {"null", nullptr},
          {"none", kNone.data()},    {"bad", reinterpret_cast<const char* const*>(kBadPointer)},
          {"of bad", kBad.data()},   {"long", kLong.data()},
          {"longer", kLonger.data()}};
}
std::vector<Vector> Variables() {
  return {{"none", kNone.data()},
          {"null", nullptr},
          {"twice", kTwice.data()},
          {"bad", reinterpret_cast<const char* const*>(kBadPointer)}};
}

void MakeScript(const std::string& name, const std::string& text, mode_t mode = 0755) {
  int fd = open(name.c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, mode);
  (void)!write(fd, text.data(), text.size());
  close(fd);
}

// Beside what MakeFixture made.
void MakePrograms() {
  std::string at = root + "/at/";
  (void)!link((root + "/program").c_str(), "told");
  (void)!symlink("told", "ltold");
  MakeScript("s", "#!" + at + "told -a b \necho\n");
  MakeScript("sr", "#!told");
  MakeScript("ss", "#! " + at + "s\n");
  MakeScript("snone", "#!/none/such\n");
  MakeScript("sdir", "#!" + at + "d\n");
  MakeScript("sfile", "#!" + at + "f\n");
  MakeScript("sempty", "#!  \n");
  MakeScript("stext", "echo\n");
  MakeScript("sloop", "#!" + at + "sloop\n");
  MakeScript("scut", "#!/" + std::string(300, 'x') + "\n");
  MakeScript("sarg", "#!" + at + "told " + std::string(300, 'x') + "\n");
  MakeScript("sno", "#!" + at + "told\n", 0644);
  MakeScript("sonly", "#!" + at + "told\n", 0111);
  MakeScript("d/told", "#!" + at + "told in d\n");
  close(kProgramFd);
  close(kScriptFd);
  dup3(open("told", O_RDONLY | O_CLOEXEC), kProgramFd, O_CLOEXEC);
  dup3(open("s", O_RDONLY | O_CLOEXEC), kScriptFd, 0);
  for (int fd = 3; fd < 50; ++fd) close(fd);
}

// In a child. Its status, or the errno of a call that came back.
template <typename Call>
long Start(Call call) {
  MakePrograms();
  static int* failed = static_cast<int*>(
      mmap(nullptr, sizeof(int), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  *failed = 0;
  std::fflush(stdout);
  pid_t pid = fork();
  if (pid == 0) {
    long result = call();
    *failed = result < 0 ? errno : -1;  // -1: AT_EXECVE_CHECK
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  errno = *failed;
  return *failed > 0 ? -1 : status + (*failed < 0 ? 1'000'000 : 0);
}

std::vector<Path> Programs() {
  std::vector<Path> paths;
  for (const char* text : {"told",
                           "./told",
                           "ltold",
                           "d/../told",
                           "told/",
                           "s",
                           "./s",
                           "sr",
                           "ss",
                           "snone",
                           "sdir",
                           "sfile",
                           "sempty",
                           "stext",
                           "sloop",
                           "scut",
                           "sarg",
                           "sno",
                           "sonly",
                           "d/told",
                           "f",
                           "lf",
                           "d",
                           "none",
                           "dang",
                           "loop",
                           "f/x",
                           "",
                           ".",
                           "fifo",
                           "sticky/planted",
                           "shut/x",
                           "/proc/self/exe",
                           "/proc/self/fd/70",
                           "/proc/self/fd/71",
                           "/proc/thread-self/fd/70"}) {
    paths.push_back({.text = text});
  }
  paths.push_back({.text = root + "/at/told"});
  paths.push_back({.text = root + "/at/s"});
  paths.push_back({.text = std::string(256, 'n')});
  paths.push_back({.text = std::string(5000, '/') + "told"});
  paths.push_back({.text = {}, .pointer = kBadPointer});
  return paths;
}

void CopyProgram() {
  int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  int to = open((root + "/program").c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0755);
  while (to >= 0 && sendfile(to, from, nullptr, 1U << 20) > 0) {
  }
  close(from);
  close(to);
}

}  // namespace

bool TellsWhatItWasGiven(int argc, char** argv) {
  std::array<char, 4096> self{};
  if (readlink("/proc/self/exe", self.data(), self.size() - 1) < 0) return false;
  if (!std::string(self.data()).ends_with("/told")) return false;
  std::string line = "[" + std::string(reinterpret_cast<char*>(getauxval(AT_EXECFN)));
  auto add = [&](const char* text) {
    std::string whole = text;
    line += " " + (whole.size() < 400 ? whole : std::to_string(whole.size()));
  };
  for (int i = 0; i < argc; ++i) add(argv[i]);
  for (char** variable = environ; *variable != nullptr; ++variable) add(*variable);
  std::array<char, 16> name{};
  prctl(PR_GET_NAME, name.data());
  add(name.data());
  for (int fd = 3; fd < 80; ++fd) {
    if (fcntl(fd, F_GETFD) >= 0) add(std::to_string(fd).c_str());
  }
  line += "] ";
  (void)!write(STDOUT_FILENO, line.data(), line.size());
  return true;
}

void ProbeStarts(const std::string& call) {
  if (call != "execve" && call != "execveat") return;
  CopyProgram();
  for (const Path& path : Programs()) {
    for (const Vector& argv : Arguments()) {
      for (const Vector& envp : Variables()) {
        std::string shown = call + "(" + path.Show() + ", " + argv.shown + ", " + envp.shown;
        if (call == "execve") {
          Try(shown + ")", [&] {
            return Start(
                [&] { return syscall(SYS_execve, path.get(), argv.pointer, envp.pointer); });
          });
          continue;
        }
        for (int flags : {0, AT_EMPTY_PATH, AT_SYMLINK_NOFOLLOW, kExecCheck, 1}) {
          for (const DirFd& at :
               {DirFd{AT_FDCWD, "CWD"}, DirFd{directory_fd, "d"}, DirFd{kProgramFd, "told"},
                DirFd{kScriptFd, "s"}, DirFd{999, "none"}}) {
            Try(shown + ", " + std::to_string(flags) + ")" + at.shown, [&] {
              return Start([&] {
                return syscall(SYS_execveat, at.fd, path.get(), argv.pointer, envp.pointer, flags);
              });
            });
          }
        }
      }
    }
  }
}

}  // namespace callgate::conformance
