// chdir, fchdir, chroot. A child goes, so that the next shape begins where this one did.

#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {
namespace {

// A name without the child's number, which differs each time.
std::string WithoutNumber(std::string name) {
  const std::string number = std::to_string(getpid());
  const std::size_t at = name.find("/proc/" + number);
  return at == std::string::npos ? name : name.replace(at + 6, number.size(), "CHILD");
}

// What /proc says of the child, in whatever root it is.
void TellPlace(int self, const char* link) {
  std::array<char, 4096> name{};
  const ssize_t size = readlinkat(self, link, name.data(), name.size() - 1);
  std::printf("%s %s ", link, size < 0 ? std::strerror(errno) : WithoutNumber(name.data()).c_str());
}

template <typename Call>
long Go(Call call) {
  static auto* told = static_cast<std::array<long, 2>*>(mmap(nullptr, sizeof(std::array<long, 2>),
                                                             PROT_READ | PROT_WRITE,
                                                             MAP_SHARED | MAP_ANONYMOUS, -1, 0));
  std::fflush(stdout);
  const pid_t pid = fork();
  if (pid == 0) {
    const int self = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    errno = 0;
    (*told)[0] = call();
    (*told)[1] = errno;
    TellPlace(self, "cwd");
    TellPlace(self, "root");
    std::array<char, 4096> name{};
    const bool is_told = syscall(SYS_getcwd, name.data(), name.size()) > 0;
    std::printf("getcwd %s ", is_told ? WithoutNumber(name.data()).c_str() : std::strerror(errno));
    std::fflush(stdout);
    _exit(0);
  }
  int status = 0;
  waitpid(pid, &status, 0);
  errno = static_cast<int>((*told)[1]);
  return status == 0 ? (*told)[0] : 1'000'000 + status;
}

}  // namespace

void ProbeMoves(const std::string& call) {
  if (call == "chdir" || call == "chroot") {
    const long nr = call == "chdir" ? SYS_chdir : SYS_chroot;
    std::vector<Path> paths = Paths();
    for (const char* text : {"/", "..", "../..", "/proc/self", "/proc/self/cwd", "/proc/self/fd",
                             "/proc/thread-self/root", "/proc/1/cwd", "/dev/null", "d/../d/.",
                             "d//", "./d/", "ld/..", "/proc/self/fd/1"}) {
      paths.push_back({.text = text});
    }
    paths.push_back({.text = root});
    paths.push_back({.text = root + "/at/d"});
    for (const Path& path : paths) {
      Try(call + "(" + path.Show() + ")",
          [&] { return Go([&] { return syscall(nr, path.get()); }); });
      Try(call + "(" + path.Show() + ") twice", [&] {
        return Go([&] {
          const long first = syscall(nr, path.get());
          return first < 0 ? first : syscall(nr, path.get());
        });
      });
    }
    return;
  }
  if (call != "fchdir") return;
  for (int flags : {O_RDONLY, O_PATH, O_PATH | O_NOFOLLOW, O_RDONLY | O_DIRECTORY | O_CLOEXEC}) {
    for (const Path& path : Paths()) {
      if (path.text == "fifo" && (flags & O_PATH) == 0) continue;  // nobody writes into it
      Try(call + "(" + path.Show() + ", " + std::to_string(flags) + ")", [&] {
        const int fd = open(path.get(), flags);
        const long result = Go([&] { return syscall(SYS_fchdir, fd); });
        const int error = errno;
        if (fd >= 0) close(fd);
        errno = error;
        return result;
      });
    }
  }
  for (const long fd : {-1L, static_cast<long>(AT_FDCWD), 999L, 1L, (1L << 32) | directory_fd}) {
    Try(call + "(" + std::to_string(fd) + ")",
        [&] { return Go([&] { return syscall(SYS_fchdir, fd); }); });
  }
  // Its name is gone while it is open.
  Try(call + "(removed)", [&] {
    (void)!mkdir("gone", 0755);
    const int fd = open("gone", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    (void)!rmdir("gone");
    const long result = Go([&] { return syscall(SYS_fchdir, fd); });
    const int error = errno;
    close(fd);
    errno = error;
    return result;
  });
}

}  // namespace callgate::conformance
