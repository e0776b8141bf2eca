// Tries to get at a file it is denied past a supervisor that looks at paths and open files, by
// changing what a path or a descriptor means while the supervisor decides.
//
//   race_attacker KIND ATTEMPTS UNTIL_SUCCESS DIRECTORY
//
// DIRECTORY holds a/x, which is allowed, and b/x, which is not. Prints how often each was reached.

#include <linux/bpf.h>
#include <linux/io_uring.h>
#include <linux/openat2.h>
#include <linux/perf_event.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>

#include <atomic>
#include <cstddef>
#include <optional>

#include "tests/attacker.h"

namespace callgate::attack {
namespace {

std::string allowed, denied;
ino_t denied_inode = 0;

// What runs beside the attempts until they are done.
struct Attack {
  std::function<Got()> attempt;
  std::function<void()> interfere;  // once; called over and over
  By by = By::kThread;
  bool is_traced = false;  // interfere as the tracer of the process that attempts
};

// What an open led to.
Got Opened(long result, bool writing_is_denied = false) {
  if (result < 0) return Got::kNothing;
  int fd = static_cast<int>(result);
  struct stat status{};
  if (fstat(fd, &status) < 0) std::abort();
  bool writes = (fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY;
  close(fd);
  bool denied_one = status.st_ino == denied_inode || (writing_is_denied && writes);
  return denied_one ? Got::kDenied : Got::kAllowed;
}

Attack SwapDescriptor() {
  // By open, about which the policy says nothing: b itself is not what is denied.
  ChangingDirectory used = DescriptorThatChanges([](const char* path) {
    return static_cast<int>(syscall(SYS_open, path, O_PATH | O_CLOEXEC));
  });
  return {.attempt = [used] { return Opened(syscall(SYS_openat, used.fd, "x", O_RDONLY, 0)); },
          .interfere = used.interfere};
}

Attack SwapWorkingDirectory() {
  return {.attempt = [] { return Opened(syscall(SYS_openat, AT_FDCWD, "x", O_RDONLY, 0)); },
          .interfere = ChangeDirectory};
}

// Creates a/new while somebody puts a link to b/x under that name.
Attack PlantLink() {
  static std::string name = directory + "/a/new";
  return {.attempt =
              [] {
                return Opened(syscall(SYS_openat, AT_FDCWD, name.c_str(), O_RDWR | O_CREAT, 0600));
              },
          .interfere =
              [] {
                unlink(name.c_str());
                (void)symlink(denied.c_str(), name.c_str());
                unlink(name.c_str());
              }};
}

// The structure of openat2 is memory too: write access is what is denied.
Attack FlipFlags() {
  static open_how how{};
  return {.attempt =
              [] {
                return Opened(syscall(SYS_openat2, AT_FDCWD, allowed.c_str(), &how, sizeof how),
                              true);
              },
          .interfere = [] { how.flags ^= O_RDWR; }};
}

// A descriptor that is a/x when it is looked at, b/x when something is done to it.
Attack SwapObject() {
  static auto open_to_write = [](const std::string& name) {
    return static_cast<int>(syscall(SYS_open, name.c_str(), O_RDWR | O_CLOEXEC));
  };
  static int a = open_to_write(allowed);
  static int b = open_to_write(denied);
  static int used = fcntl(a, F_DUPFD_CLOEXEC, 100);
  return {.attempt =
              [] {
                long result = syscall(SYS_fchmod, used, 0600);
                struct stat status{};
                if (fstat(b, &status) < 0) std::abort();
                if ((status.st_mode & 07777) == 0600) return Got::kDenied;
                return result < 0 ? Got::kNothing : Got::kAllowed;
              },
          .interfere = [] { dup2(Alternate() ? b : a, used); }};
}

// Two sockets that a message can go to; the name in it is flipped, or the pointer to the name.
Attack FlipAddress(bool by_pointer) {
  static auto named = [](char which) {
    sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
    std::string text = directory + "/" + which;
    std::memcpy(name.sun_path + 1, text.data(), text.size());
    return name;
  };
  static auto size =
      static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + directory.size() + 2);
  static auto bound = [](char which) {
    int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    sockaddr_un name = named(which);
    if (bind(fd, reinterpret_cast<sockaddr*>(&name), size) < 0) std::abort();
    return fd;
  };
  static int good = bound('a'), bad = bound('b');
  static int from = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  static sockaddr_un first = named('a'), second = named('b');
  static iovec buffer{const_cast<char*>("x"), 1};
  static msghdr message{};
  message = {.msg_name = &first,
             .msg_namelen = size,
             .msg_iov = &buffer,
             .msg_iovlen = 1,
             .msg_control = nullptr,
             .msg_controllen = 0,
             .msg_flags = 0};
  static char* letter = first.sun_path + 1 + directory.size() + 1;
  Attack attack{.attempt =
                    [] {
                      long result = syscall(SYS_sendmsg, from, &message, 0);
                      char byte = 0;
                      bool reached_bad = recv(bad, &byte, 1, 0) == 1;
                      bool reached_good = recv(good, &byte, 1, 0) == 1;
                      if (reached_bad) return Got::kDenied;
                      return result == 1 && reached_good ? Got::kAllowed : Got::kNothing;
                    },
                .interfere = [] { *letter ^= 'a' ^ 'b'; }};
  if (by_pointer) {
    attack.interfere = [] {
      static volatile bool turn = false;
      turn = !turn;
      message.msg_name = turn ? &second : &first;
    };
  }
  return attack;
}

// What is bound to a directory.
Attack FlipSource() {
  static std::string target = directory + "/t";
  static char* source = PageWith(directory + "/a", MAP_PRIVATE | MAP_ANONYMOUS, -1);
  return {.attempt =
              [] {
                long result = syscall(SYS_mount, source, target.c_str(), nullptr, MS_BIND, nullptr);
                if (result < 0) return Got::kNothing;
                struct stat status{};
                bool there = stat((target + "/x").c_str(), &status) == 0;
                syscall(SYS_umount2, target.c_str(), MNT_DETACH);
                if (!there) return Got::kNothing;
                return status.st_ino == denied_inode ? Got::kDenied : Got::kAllowed;
              },
          .interfere = [] { source[FlipPlace()] ^= 'a' ^ 'b'; }};
}

// How nice it is to be: 5, not 6.
Attack FlipNice() {
  struct Attributes {
    std::uint32_t size, policy;
    std::uint64_t flags;
    std::int32_t nice;
    std::uint32_t priority;
    std::uint64_t runtime, deadline, period;
  };
  static Attributes wanted{48, 0, 0, 5, 0, 0, 0, 0};
  return {.attempt =
              [] {
                if (syscall(SYS_sched_setattr, 0, &wanted, 0) < 0) return Got::kNothing;
                Attributes now{};
                if (syscall(SYS_sched_getattr, 0, &now, sizeof now, 0) < 0) std::abort();
                return now.nice == 5 ? Got::kAllowed : Got::kDenied;
              },
          .interfere = [] { wanted.nice ^= 5 ^ 6; }};
}

// At most 64 bytes of messages, not 128.
Attack FlipLimit() {
  static rlimit wanted{64, 256};
  return {.attempt =
              [] {
                if (syscall(SYS_prlimit64, 0, RLIMIT_MSGQUEUE, &wanted, nullptr) < 0) {
                  return Got::kNothing;
                }
                rlimit now{};
                if (getrlimit(RLIMIT_MSGQUEUE, &now) < 0) std::abort();
                return now.rlim_cur == 64 ? Got::kAllowed : Got::kDenied;
              },
          .interfere = [] { wanted.rlim_cur ^= 64 ^ 128; }};
}

// What is counted: nothing (a dummy), not page faults.
Attack FlipEvent() {
  static perf_event_attr wanted{};
  wanted.type = PERF_TYPE_SOFTWARE;
  wanted.size = sizeof wanted;
  wanted.config = PERF_COUNT_SW_DUMMY;
  wanted.exclude_kernel = 1;
  return {.attempt =
              [] {
                const long fd = syscall(SYS_perf_event_open, &wanted, 0, -1, -1, 0);
                if (fd < 0) return Got::kNothing;
                char* page = PageWith("", MAP_PRIVATE | MAP_ANONYMOUS, -1);  // a fault
                munmap(page, kPage);
                std::uint64_t count = 0;
                if (read(static_cast<int>(fd), &count, sizeof count) != sizeof count) std::abort();
                close(static_cast<int>(fd));
                return count == 0 ? Got::kAllowed : Got::kDenied;
              },
          .interfere = [] { wanted.config ^= PERF_COUNT_SW_DUMMY ^ PERF_COUNT_SW_PAGE_FAULTS; }};
}

// The kind of map that is made: an array, not a hash table.
Attack FlipMap() {
  static bpf_attr wanted{};
  wanted.map_type = BPF_MAP_TYPE_ARRAY;
  wanted.key_size = wanted.value_size = 4;
  wanted.max_entries = 1;
  return {.attempt =
              [] {
                const long fd = syscall(SYS_bpf, BPF_MAP_CREATE, &wanted, sizeof wanted);
                if (fd < 0) return Got::kNothing;
                bpf_map_info info{};
                static bpf_attr asked;  // all of it is empty
                asked.info.bpf_fd = static_cast<std::uint32_t>(fd);
                asked.info.info_len = sizeof info;
                asked.info.info = reinterpret_cast<std::uint64_t>(&info);
                if (syscall(SYS_bpf, BPF_OBJ_GET_INFO_BY_FD, &asked, sizeof asked) < 0) {
                  std::abort();
                }
                close(static_cast<int>(fd));
                return info.type == BPF_MAP_TYPE_ARRAY ? Got::kAllowed : Got::kDenied;
              },
          .interfere = [] { wanted.map_type ^= BPF_MAP_TYPE_ARRAY ^ BPF_MAP_TYPE_HASH; }};
}

// A page of the process that attempts, changed by the one that traces it: while it runs, and where
// it was stopped in the middle of whatever it did.
pid_t traced = 0;
Attack FlipAsTracer() {
  static char* page = PageWith(allowed, MAP_PRIVATE | MAP_ANONYMOUS, -1);
  return {.attempt = [] { return Opened(syscall(SYS_openat, AT_FDCWD, page, O_RDONLY, 0)); },
          .interfere =
              [] {
                char letter = Alternate() ? 'b' : 'a';
                const iovec ours{&letter, 1}, its{page + FlipPlace(), 1};
                (void)process_vm_writev(traced, &ours, 1, &its, 1, 0);
              },
          .is_traced = true};
}

// Stops it every few times. Returns what it ended with.
int InterfereAsTracer(const Attack& attack) {
  if (ptrace(PTRACE_SEIZE, traced, nullptr, nullptr) < 0) std::abort();
  for (unsigned i = 0;; ++i) {
    attack.interfere();
    if (i % 16 != 0) continue;
    ptrace(PTRACE_INTERRUPT, traced, nullptr, nullptr);
    int status = 0;
    if (waitpid(traced, &status, __WALL) != traced) std::abort();
    if (!WIFSTOPPED(status)) return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
    attack.interfere();
    ptrace(PTRACE_CONT, traced, nullptr, nullptr);
  }
}

// As openat(2), by a ring with room for one request (io_uring_setup(2)). nullopt: there is no ring
// to be had.
std::optional<long> OpenByRing(const char* path) {
  io_uring_params sizes{};
  const int ring = static_cast<int>(syscall(SYS_io_uring_setup, 1, &sizes));
  if (ring < 0) return std::nullopt;
  auto map = [&](off_t what) {
    void* page = mmap(nullptr, kPage, PROT_READ | PROT_WRITE, MAP_SHARED, ring, what);
    if (page == MAP_FAILED) std::abort();
    return static_cast<char*>(page);
  };
  char* queues = map(IORING_OFF_SQ_RING);  // both are in it (IORING_FEAT_SINGLE_MMAP)
  char* request = map(IORING_OFF_SQES);
  auto* entry = reinterpret_cast<io_uring_sqe*>(request);
  entry->opcode = IORING_OP_OPENAT;
  entry->fd = AT_FDCWD;
  entry->addr = reinterpret_cast<std::uint64_t>(path);
  *reinterpret_cast<std::uint32_t*>(queues + sizes.sq_off.array) = 0;
  std::atomic_ref(*reinterpret_cast<std::uint32_t*>(queues + sizes.sq_off.tail)) = 1;
  if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, nullptr, 0) != 1) {
    std::abort();
  }
  const int result = reinterpret_cast<io_uring_cqe*>(queues + sizes.cq_off.cqes)->res;
  munmap(queues, kPage);
  munmap(request, kPage);
  close(ring);
  return result;
}

// io_uring carries out calls that no filter sees. Who gets no ring takes the ordinary way.
Attack OpenAnyWay() {
  ChangingPath path = *PathThatChanges("flip", "/x");
  return {.attempt =
              [path = path.path] {
                auto opened = OpenByRing(path);
                return Opened(opened ? *opened : syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0));
              },
          .interfere = path.interfere};
}

Attack AttackNamed(const std::string& kind) {
  if (auto path = PathThatChanges(kind, "/x")) {
    return {.attempt =
                [path = path->path] {
                  return Opened(syscall(SYS_openat, AT_FDCWD, path, O_RDONLY, 0));
                },
            .interfere = path->interfere,
            .by = path->by};
  }
  if (kind == "dup2") return SwapDescriptor();
  if (kind == "chdir") return SwapWorkingDirectory();
  if (kind == "plant") return PlantLink();
  if (kind == "how") return FlipFlags();
  if (kind == "object") return SwapObject();
  if (kind == "address") return FlipAddress(false);
  if (kind == "address_pointer") return FlipAddress(true);
  if (kind == "mount") return FlipSource();
  if (kind == "nice") return FlipNice();
  if (kind == "event") return FlipEvent();
  if (kind == "limit") return FlipLimit();
  if (kind == "map") return FlipMap();
  if (kind == "traced") return FlipAsTracer();
  if (kind == "io_uring") return OpenAnyWay();
  EndAsUnknown(kind);
}

int Main(int argc, char** argv) {
  if (argc != 5) return 2;
  const long attempts = std::atol(argv[2]);
  const bool until_success = std::string(argv[3]) == "until-success";
  directory = argv[4];
  allowed = directory + "/a/x";
  denied = directory + "/b/x";
  struct stat status{};
  if (stat(denied.c_str(), &status) < 0 || chdir((directory + "/a").c_str()) < 0) return 3;
  denied_inode = status.st_ino;

  const Attack attack = AttackNamed(argv[1]);
  // On a busy machine it can take long until the allowed file is what is met.
  const long most = until_success ? attempts : attempts * 100;
  auto attempt = [&] { Print(Try(attack.attempt, attempts, most, until_success)); };
  if (attack.is_traced) {
    // What the supervisor traces nobody else can: the kernel is asked to keep it out.
    traced = static_cast<pid_t>(syscall(SYS_clone, CLONE_UNTRACED | SIGCHLD, 0, 0, 0, 0));
    if (traced != 0) return InterfereAsTracer(attack);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    attempt();
    return 0;
  }
  const Interferer interferer(attack.interfere, attack.by);
  attempt();
  return 0;
}

}  // namespace
}  // namespace callgate::attack

int main(int argc, char** argv) { return callgate::attack::Main(argc, argv); }
