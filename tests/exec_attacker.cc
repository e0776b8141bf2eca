// Tries to start a program it is denied past a supervisor that judges execve, by changing what is
// looked at while the supervisor decides.
//
//   exec_attacker KIND ATTEMPTS UNTIL_SUCCESS DIRECTORY
//
// DIRECTORY holds a/x, which is allowed, and b/x, which is not: copies of this program, which tell
// by their exit status what they were started as. Prints how often each was reached.

#include <sys/stat.h>
#include <sys/syscall.h>

#include <cerrno>

#include "tests/attacker.h"

namespace callgate::attack {
namespace {

// What the copies end with; nothing else of a failed start does.
constexpr int kRanAllowed = 40, kRanDenied = 41;

std::string allowed, denied;

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
  By by = By::kThread;
  int clone_flags = 0;  // of the child, which shares the attacker's memory
};

// What every start is made with, unless it is what is changed.
std::array<const char*, 3> arguments{"x", "a", nullptr};
std::array<const char*, 2> variables{"MODE=a", nullptr};

void Execve(const char* path) { syscall(SYS_execve, path, arguments.data(), variables.data()); }

void WriteScript(const std::string& path, const std::string& interpreter) {
  int fd = open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0755);
  std::string text = "#!" + interpreter + "\n";
  (void)!write(fd, text.data(), text.size());
  close(fd);
}

// The script names a link as its interpreter, and that is replaced.
Attack SwapInterpreter() {
  static std::string script = directory + "/s";
  const ChangingPath link = *PathThatChanges("symlink", "/x");
  WriteScript(script, link.path);
  return {.start = [] { Execve(script.c_str()); }, .interfere = link.interfere};
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
  ChangingDirectory used =
      DescriptorThatChanges([](const char* path) { return open(path, O_PATH | O_CLOEXEC); });
  return {
      .start =
          [used] { syscall(SYS_execveat, used.fd, "x", arguments.data(), variables.data(), 0); },
      .interfere = used.interfere,
      .clone_flags = CLONE_FILES};
}

Attack SwapWorkingDirectory() {
  return {.start = [] { Execve("x"); }, .interfere = ChangeDirectory, .clone_flags = CLONE_FS};
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

Attack AttackNamed(const std::string& kind) {
  // A child that the supervisor does not trace: its exec stop would be nobody's, or ours.
  const bool untraced = kind == "exec_untraced";
  if (auto path = PathThatChanges(untraced ? "flip" : kind.substr(kind.find('_') + 1), "/x")) {
    return {.start = [path = path->path] { Execve(path); },
            .interfere = path->interfere,
            .by = path->by,
            .clone_flags = untraced ? CLONE_UNTRACED : 0};
  }
  if (kind == "exec_interpreter") return SwapInterpreter();
  if (kind == "exec_script") return SwapScript();
  if (kind == "exec_dup2") return SwapDescriptor();
  if (kind == "exec_chdir") return SwapWorkingDirectory();
  if (kind == "exec_argument") return FlipArgument();
  if (kind == "exec_argv") return SwapArgument();
  if (kind == "exec_variable") return FlipVariable();
  EndAsUnknown(kind);
}

Got StartOnce(const Attack& attack) {
  const int status = RunInChild(
      [&attack] {
        attack.start();
        return kDidNothing;
      },
      attack.clone_flags);
  if (!WIFEXITED(status)) return Got::kNothing;
  switch (WEXITSTATUS(status)) {
    case kRanDenied:
      return Got::kDenied;
    case kRanAllowed:
      return Got::kAllowed;
    case kDidNothing:
      return Got::kNothing;
    default:
      std::fprintf(stderr, "status %d\n", status);
      std::exit(3);
  }
}

int Main(int argc, char** argv) {
  if (argc != 5) return TellWhatRuns(argc, argv);
  const long attempts = std::atol(argv[2]);
  const bool until_success = std::string(argv[3]) == "until-success";
  directory = argv[4];
  allowed = directory + "/a/x";
  denied = directory + "/b/x";
  if (chdir((directory + "/a").c_str()) < 0) return 3;

  const Attack attack = AttackNamed(argv[1]);
  const Interferer interferer(attack.interfere, attack.by);
  Print(Try([&] { return StartOnce(attack); }, attempts, attempts, until_success));
  return 0;
}

}  // namespace
}  // namespace callgate::attack

int main(int argc, char** argv) { return callgate::attack::Main(argc, argv); }
