// Decides in C++ which files a program may open: supervisor COMMAND [ARG...]
#include <callgate/supervisor.h>
#include <sys/wait.h>

#include <cerrno>
#include <iostream>
#include <map>
#include <mutex>

using callgate::Decision;
using callgate::NotifiedCall;

constexpr char kPolicy[] = R"(
default: allow
io_uring_setup, landlock_restrict_self: else -> errno(ENOSYS)
# What the system's own files are is settled here; the handler is asked about the others.
openat: filename under {"/usr", "/lib", "/lib64", "/proc", "/dev"} || filename ~ "/etc/ld.so.*";
        else -> notify
open, creat, openat2: else -> errno(ENOSYS)
connect: else -> notify
)";

int main(int argc, char** argv) {
  auto policy = callgate::Policy::FromText("supervisor", kPolicy);
  if (!policy) return std::cerr << policy.error().Render(), 1;
  callgate::LaunchOptions options;
  options.argv.assign(argv + 1, argv + argc);
  options.layers = {*policy};

  std::mutex mutex;
  std::map<std::string, int, std::less<>> opened;  // how often
  callgate::Supervisor supervisor(options);

  // The path is absolute and has no links; what is opened is the file that it was found to be.
  supervisor.On("openat", [&](const NotifiedCall& call) {
    auto path = call.Text("filename");
    if (!path) return Decision::Deny("a file without a name");
    if (path->ends_with("shadow")) return Decision::Errno(EACCES, "no secrets");
    if (path->ends_with(".so")) throw std::runtime_error("what is this?");  // denied
    std::lock_guard lock(mutex);
    ++opened[std::string(*path)];
    return Decision::Allow();
  });
  supervisor.OnOther([](const NotifiedCall& call) {
    std::cerr << "not for this program: " << call.text << '\n';
    return Decision::Deny();
  });

  auto pid = supervisor.Start();
  if (!pid) return std::cerr << pid.error().message << '\n', pid.error().exit_code;
  int status = 0;
  waitpid(*pid, &status, 0);

  std::lock_guard lock(mutex);
  for (const auto& [path, count] : opened) std::cout << count << ' ' << path << '\n';
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
