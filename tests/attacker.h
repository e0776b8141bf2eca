// What the attackers of supervisor_race_test.cc share: a path that changes while somebody looks at
// it, and what runs beside the attempts to change it.
//
// The directory that they are given holds a/x, which is allowed, and b/x, which is not.

#pragma once

#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <optional>
#include <string>
#include <thread>

namespace callgate::attack {

inline std::string directory;

// What an attempt has reached.
enum class Got : std::uint8_t { kAllowed, kDenied, kNothing };

// True and false by turns.
inline bool Alternate() {
  static bool turn = false;
  turn = !turn;
  return turn;
}

inline constexpr std::size_t kPage = 4096;
// The letter by which the two paths differ.
inline std::size_t FlipPlace() { return directory.size() + 1; }

// Who interferes: a thread, or a process that shares a mapping or, as a peer, all memory.
enum class By : std::uint8_t { kThread, kProcess, kPeer };

struct ChangingPath {
  const char* path;
  std::function<void()> interfere;  // once; called over and over
  By by = By::kThread;
};

// A page with the path of a, and of b behind it.
inline char* PageWith(const std::string& text, int flags, int fd) {
  void* page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, flags, fd, 0);
  if (page == MAP_FAILED) std::abort();
  return std::strcpy(static_cast<char*>(page), text.c_str());
}

inline ChangingPath Flip(char* page) {
  return {.path = page, .interfere = [page] { page[FlipPlace()] ^= 'a' ^ 'b'; }};
}

inline void ReplaceLink(const std::string& link, const std::string& text) {
  const std::string next = link + ".next";
  (void)!symlink(text.c_str(), next.c_str());
  rename(next.c_str(), link.c_str());
}

// One that leads to a/`name` or b/`name`. nullopt: there is no such kind.
inline std::optional<ChangingPath> PathThatChanges(const std::string& kind,
                                                   const std::string& name) {
  static std::string a, b;
  a = directory + "/a" + name;
  b = directory + "/b" + name;
  if (kind == "flip" || kind == "vm_peer") {
    ChangingPath path = Flip(PageWith(a, MAP_PRIVATE | MAP_ANONYMOUS, -1));
    if (kind == "vm_peer") path.by = By::kPeer;
    return path;
  }
  if (kind == "shared_page") {
    ChangingPath path = Flip(PageWith(a, MAP_SHARED | MAP_ANONYMOUS, -1));
    path.by = By::kProcess;
    return path;
  }
  if (kind == "memfd") {
    static int fd = memfd_create("path", MFD_CLOEXEC);
    (void)!ftruncate(fd, kPage);
    return ChangingPath{.path = PageWith(a, MAP_SHARED, fd), .interfere = [] {
                          (void)!pwrite(fd, Alternate() ? "b" : "a", 1,
                                        static_cast<off_t>(FlipPlace()));
                        }};
  }
  if (kind == "munmap") {
    static char* page = PageWith(a, MAP_PRIVATE | MAP_ANONYMOUS, -1);
    return ChangingPath{.path = page, .interfere = [] {
                          munmap(page, kPage);
                          (void)mmap(page, kPage, PROT_READ | PROT_WRITE,
                                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
                          std::strcpy(page, (Alternate() ? b : a).c_str());
                          sched_yield();  // so that it is met there at times
                        }};
  }
  if (kind == "symlink") {
    static std::string link = directory + "/link";
    ReplaceLink(link, a);
    return ChangingPath{.path = link.c_str(),
                        .interfere = [] { ReplaceLink(link, Alternate() ? b : a); }};
  }
  return std::nullopt;
}

// A descriptor that is open on a or on b.
struct ChangingDirectory {
  int fd;
  std::function<void()> interfere;
};
inline ChangingDirectory DescriptorThatChanges(const std::function<int(const char*)>& open_path) {
  static int a = open_path((directory + "/a").c_str());
  static int b = open_path((directory + "/b").c_str());
  static int used = fcntl(a, F_DUPFD_CLOEXEC, 100);
  return {.fd = used, .interfere = [] { dup3(Alternate() ? b : a, used, O_CLOEXEC); }};
}

// Goes to a and b by turns.
inline void ChangeDirectory() { (void)!chdir((directory + (Alternate() ? "/b" : "/a")).c_str()); }

class Interferer {
 public:
  Interferer(const std::function<void()>& interfere, By by) : interfere_(interfere) {
    if (by == By::kThread) {
      thread_ = std::thread([this] { Interfere(); });
      return;
    }
    auto run = [](void* self) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      static_cast<Interferer*>(self)->Interfere();
      return 0;
    };
    process_ =
        clone(run, stack_.data() + stack_.size(), SIGCHLD | (by == By::kPeer ? CLONE_VM : 0), this);
    if (process_ < 0) std::abort();
  }
  ~Interferer() {
    stop_ = true;
    if (thread_.joinable()) thread_.join();
    if (process_ > 0) {
      kill(process_, SIGKILL);
      waitpid(process_, nullptr, 0);
    }
  }
  Interferer(const Interferer&) = delete;
  Interferer& operator=(const Interferer&) = delete;

 private:
  void Interfere() const {
    while (!stop_) interfere_();
  }

  const std::function<void()>& interfere_;
  std::atomic<bool> stop_{false};
  std::thread thread_;
  pid_t process_ = 0;
  alignas(16) std::array<char, 16 * kPage> stack_;
};

// What a child that was not let do it, or did not succeed, ends with.
inline constexpr int kDidNothing = 42;

// As posix_spawn(3) does: the child borrows our memory until it ends or has become something else,
// so that our threads can change what it passes. Returns its wait status.
inline int RunInChild(const std::function<int()>& act, int clone_flags) {
  static std::array<char, 64 * kPage> stack;
  auto run = [](void* action) {
    _exit((*static_cast<const std::function<int()>*>(action))());
    return kDidNothing;
  };
  pid_t child =
      clone(run, stack.data() + stack.size(), CLONE_VM | CLONE_VFORK | SIGCHLD | clone_flags,
            const_cast<std::function<int()>*>(&act));
  if (child < 0) return kDidNothing << 8;  // as if it had
  if ((clone_flags & CLONE_UNTRACED) != 0) {
    // Too late, and the supervisor must have refused it already.
    ptrace(PTRACE_SEIZE, child, nullptr, nullptr);
  }
  int status = 0;
  while (waitpid(child, &status, __WALL) != child || WIFSTOPPED(status)) {
    if (WIFSTOPPED(status)) ptrace(PTRACE_CONT, child, nullptr, nullptr);
  }
  return status;
}

struct Counts {
  long allowed = 0, denied = 0, refused = 0;
};

// Tries until it has tried that often, and on until `most` if nothing was reached that is allowed;
// with `until_success` until the first one that is denied.
inline Counts Try(const std::function<Got()>& attempt, long attempts, long most,
                  bool until_success) {
  Counts counts;
  for (long i = 0; i < attempts || (counts.allowed == 0 && i < most); ++i) {
    switch (attempt()) {
      case Got::kAllowed:
        ++counts.allowed;
        break;
      case Got::kDenied:
        ++counts.denied;
        break;
      case Got::kNothing:
        ++counts.refused;
        break;
    }
    if (until_success && counts.denied > 0) break;
  }
  return counts;
}

inline void Print(const Counts& counts) {
  std::printf("reached allowed %ld, denied %ld; refused %ld\n", counts.allowed, counts.denied,
              counts.refused);
}

[[noreturn]] inline void EndAsUnknown(const std::string& kind) {
  std::fprintf(stderr, "unknown attack %s\n", kind.c_str());
  std::exit(2);
}

}  // namespace callgate::attack
