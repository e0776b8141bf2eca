// Makes every call that the supervisor performs with many arguments, each in a fresh directory, and
// prints what came of it: result, errno, the descriptor, and all that is in the directory then. Run
// natively and under a supervisor that performs everything, the two outputs must be the same.
//
//   conformance_prober DIRECTORY CALL SHAPES
//
// DIRECTORY is empty and ours; about SHAPES of the arguments are tried, evenly spread.

#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/un.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {
namespace {

constexpr long kFchmodat2 = 452;  // Linux 6.6, younger than the headers

struct NamedFlags {
  std::uint64_t value;
  const char* shown;
};

const std::vector<NamedFlags> kOpenFlags{
    {O_RDONLY, "r"},
    {O_WRONLY | O_NONBLOCK, "w|nonblock"},
    {O_RDWR | O_CLOEXEC | O_NONBLOCK, "rw|cloexec|nonblock"},
    {O_RDONLY | O_DIRECTORY, "directory"},
    {O_RDONLY | O_NOFOLLOW | O_NONBLOCK, "nofollow"},
    {O_PATH, "path"},
    {O_PATH | O_NOFOLLOW | O_CLOEXEC, "path|nofollow"},
    {O_WRONLY | O_CREAT | O_NONBLOCK, "creat"},
    {O_WRONLY | O_CREAT | O_EXCL, "creat|excl"},
    {O_WRONLY | O_CREAT | O_TRUNC | O_NONBLOCK, "creat|trunc"},
    {O_RDWR | O_CREAT | O_NOFOLLOW | O_NONBLOCK, "creat|nofollow"},
    {O_RDWR | O_APPEND | O_SYNC | O_NONBLOCK, "append|sync"},
    {O_RDWR | O_TMPFILE, "tmpfile"},
    {O_RDONLY | O_TMPFILE, "tmpfile readonly"},
    {O_CREAT | O_DIRECTORY, "creat|directory"},
    {O_ACCMODE | O_NONBLOCK, "accmode"},
};

void ProbeOpen(const std::string& call) {
  for (const NamedFlags& flags : kOpenFlags) {
    // Nobody writes into the FIFO.
    bool waits = (flags.value & (O_NONBLOCK | O_PATH | O_DIRECTORY)) == 0 &&
                 (flags.value & (O_CREAT | O_EXCL)) != (O_CREAT | O_EXCL);
    for (const Path& path : Paths()) {
      if (waits && path.text == "fifo") continue;
      std::string shown = call + "(" + path.Show() + ", " + flags.shown + ")";
      if (call == "open") {
        Try(shown, [&] { return syscall(SYS_open, path.get(), flags.value, 0666); }, true);
      } else if (call == "openat") {
        for (const DirFd& at : DirFds()) {
          Try(
              shown + at.shown,
              [&] {
                int fd = at.fd == AT_FDCWD ? AT_FDCWD : at.fd;
                return syscall(SYS_openat, fd, path.get(), flags.value, 04777);
              },
              true);
        }
      } else {
        open_how how{.flags = flags.value,
                     .mode = (flags.value & (O_CREAT | O_TMPFILE)) != 0 &&
                                     (flags.value & (O_CREAT | (O_TMPFILE & ~O_DIRECTORY))) != 0
                                 ? 0640U
                                 : 0U,
                     .resolve = 0};
        Try(
            shown, [&] { return syscall(SYS_openat2, AT_FDCWD, path.get(), &how, sizeof how); },
            true);
      }
    }
  }
}

void ProbeOpenHow() {
  struct Large {
    open_how how;
    std::uint64_t tail[2];
  } large{};
  for (std::size_t size : {0UL, 8UL, 23UL, 24UL, 25UL, 32UL, 40UL, 4096UL, 4097UL, 1UL << 40}) {
    for (std::uint64_t tail : {0UL, 1UL}) {
      static char page[8192];
      large.tail[0] = tail;
      std::memcpy(page, &large, sizeof large);
      Try(
          "openat2(size " + std::to_string(size) + " tail " + std::to_string(tail) + ")",
          [&] { return syscall(SYS_openat2, AT_FDCWD, "f", page, size); }, true);
    }
  }
  for (open_how how :
       {open_how{1ULL << 40, 0, 0}, open_how{0, 0644, 0}, open_how{O_CREAT, 010000, 0},
        open_how{O_PATH | O_RDWR, 0, 0}, open_how{0, 0, 1ULL << 40}}) {
    Try(
        "openat2(odd)", [&] { return syscall(SYS_openat2, AT_FDCWD, "f", &how, sizeof how); },
        true);
  }
  Try("openat2(bad how)", [&] { return syscall(SYS_openat2, AT_FDCWD, "f", kBadPointer, 24); });
}

using TwoPaths = std::function<long(const char* from, const char* to, long variant)>;
void ProbeTwoPaths(const std::string& call, const std::vector<long>& variants,
                   const TwoPaths& make) {
  std::vector<Path> some;
  for (const char* text : {"f", "d", "d/", "none", "ld", "ld/", "lf", "dang", "d/g", ".", "d/..",
                           "", "new", "new/", "d/new", "f/x", "loop", "up", "sticky/new"}) {
    some.push_back({.text = text});
  }
  some.push_back({.text = {}, .pointer = kBadPointer});
  for (long variant : variants) {
    for (const Path& from : some) {
      for (const Path& to : some) {
        Try(call + "(" + from.Show() + ", " + to.Show() + ", " + std::to_string(variant) + ")",
            [&] { return make(from.get(), to.get(), variant); });
      }
    }
  }
}

void ProbeXattr(const std::string& call, bool follows) {
  struct Value {
    const char* bytes;
    std::size_t size;
  };
  long nr = follows ? SYS_setxattr : SYS_lsetxattr;
  const std::string long_name = "user." + std::string(250, 'n');
  const std::string too_long = long_name + "n";
  static std::vector<char> big(70'000, 'b');
  for (const std::string& name :
       {std::string("user.one"), std::string("user.two"), std::string("user."), std::string(""),
        std::string("none"), long_name, too_long}) {
    for (Value value : {Value{"a\0b", 3}, Value{"", 0}, Value{big.data(), 70'000},
                        Value{kBadPointer, 3}, Value{nullptr, 0}}) {
      for (long flags : {0L, 1L, 2L, 8L}) {
        Try(call + "(" + name.substr(0, 8) + std::to_string(name.size()) + ", " +
                std::to_string(value.size) + ", " + std::to_string(flags) + ")",
            [&] { return syscall(nr, "f", name.c_str(), value.bytes, value.size, flags); });
      }
    }
  }
  ProbeOnePath(call, {0}, false, [&](int, const char* path, long) {
    return syscall(nr, path, "user.three", "3", 1, 0);
  });
}

void ProbeAddress(const std::string& call, long nr) {
  for (const Path& path : Paths()) {
    for (long size : {0, 1, 2, 3, 50, 110, 111, -1, 200}) {
      Try(call + "(" + path.Show() + ", " + std::to_string(size) + ")", [&]() -> long {
        char address[256] = {};
        reinterpret_cast<sockaddr*>(address)->sa_family = AF_UNIX;
        std::strncpy(address + 2, path.pointer == nullptr ? path.get() : "x", 108);
        int fd = socket(AF_UNIX, SOCK_STREAM, 0);
        long result = syscall(nr, fd, path.pointer == nullptr ? address : path.pointer, size);
        int error = errno;
        close(fd);
        errno = error;
        return result;
      });
    }
  }
}

const std::map<std::string, std::function<void()>> kProbes{
    {"open", [] { ProbeOpen("open"); }},
    {"openat", [] { ProbeOpen("openat"); }},
    {"openat2",
     [] {
       ProbeOpen("openat2");
       ProbeOpenHow();
     }},
    {"creat",
     [] {
       for (const Path& path : Paths()) {
         if (path.text == "fifo") continue;
         Try(
             "creat(" + path.Show() + ")", [&] { return syscall(SYS_creat, path.get(), 0666); },
             true);
       }
     }},
    {"mkdir",
     [] {
       ProbeOnePath("mkdir", {0777, 01755, 0x10000}, false, [](int, const char* path, long mode) {
         return syscall(SYS_mkdir, path, mode);
       });
     }},
    {"mkdirat",
     [] {
       ProbeOnePath("mkdirat", {0777}, true, [](int at, const char* path, long mode) {
         return syscall(SYS_mkdirat, at, path, mode);
       });
     }},
    {"mknod",
     [] {
       ProbeOnePath(
           "mknod",
           {S_IFREG | 0666, S_IFIFO | 0666, S_IFSOCK | 0600, S_IFCHR | 0666, 0644, S_IFDIR | 0755},
           false, [](int, const char* path, long mode) {
             return syscall(SYS_mknod, path, mode, makedev(1, 3));
           });
     }},
    {"mknodat",
     [] {
       ProbeOnePath("mknodat", {S_IFIFO | 0666, S_IFCHR | 0600}, true,
                    [](int at, const char* path, long mode) {
                      return syscall(SYS_mknodat, at, path, mode, makedev(1, 3));
                    });
     }},
    {"unlink",
     [] {
       ProbeOnePath("unlink", {0}, false,
                    [](int, const char* path, long) { return syscall(SYS_unlink, path); });
     }},
    {"unlinkat",
     [] {
       ProbeOnePath("unlinkat", {0, AT_REMOVEDIR, 1}, true,
                    [](int at, const char* path, long flags) {
                      return syscall(SYS_unlinkat, at, path, flags);
                    });
     }},
    {"rmdir",
     [] {
       ProbeOnePath("rmdir", {0}, false,
                    [](int, const char* path, long) { return syscall(SYS_rmdir, path); });
     }},
    {"rename",
     [] {
       ProbeTwoPaths("rename", {0}, [](const char* from, const char* to, long) {
         return syscall(SYS_rename, from, to);
       });
     }},
    {"renameat",
     [] {
       ProbeTwoPaths("renameat", {0}, [](const char* from, const char* to, long) {
         return syscall(SYS_renameat, AT_FDCWD, from, directory_fd, to);
       });
     }},
    {"renameat2",
     [] {
       ProbeTwoPaths("renameat2", {RENAME_NOREPLACE, RENAME_EXCHANGE, 3, 64},
                     [](const char* from, const char* to, long flags) {
                       return syscall(SYS_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
                     });
     }},
    {"link",
     [] {
       ProbeTwoPaths("link", {0}, [](const char* from, const char* to, long) {
         return syscall(SYS_link, from, to);
       });
     }},
    {"linkat",
     [] {
       ProbeTwoPaths("linkat", {0, AT_SYMLINK_FOLLOW, 1},
                     [](const char* from, const char* to, long flags) {
                       return syscall(SYS_linkat, AT_FDCWD, from, directory_fd, to, flags);
                     });
     }},
    {"symlink",
     [] {
       ProbeTwoPaths("symlink", {0}, [](const char* from, const char* to, long) {
         return syscall(SYS_symlink, from, to);
       });
     }},
    {"symlinkat",
     [] {
       ProbeTwoPaths("symlinkat", {0}, [](const char* from, const char* to, long) {
         return syscall(SYS_symlinkat, from, directory_fd, to);
       });
     }},
    {"chmod",
     [] {
       ProbeOnePath("chmod", {0600, 06777}, false, [](int, const char* path, long mode) {
         return syscall(SYS_chmod, path, mode);
       });
     }},
    {"fchmodat",
     [] {
       ProbeOnePath("fchmodat", {0600}, true, [](int at, const char* path, long mode) {
         return syscall(SYS_fchmodat, at, path, mode);
       });
     }},
    {"fchmodat2",
     [] {
       ProbeOnePath("fchmodat2", {0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, 1}, true,
                    [](int at, const char* path, long flags) {
                      return syscall(kFchmodat2, at, path, 0640, flags);
                    });
     }},
    {"chown",
     [] {
       ProbeOnePath("chown", {-1, 7}, false, [](int, const char* path, long id) {
         return syscall(SYS_chown, path, id, -1);
       });
     }},
    {"lchown",
     [] {
       ProbeOnePath("lchown", {-1, 7}, false, [](int, const char* path, long id) {
         return syscall(SYS_lchown, path, -1, id);
       });
     }},
    {"fchownat",
     [] {
       ProbeOnePath("fchownat", {0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, 1}, true,
                    [](int at, const char* path, long flags) {
                      return syscall(SYS_fchownat, at, path, 7, 8, flags);
                    });
     }},
    {"truncate",
     [] {
       ProbeOnePath("truncate", {0, 3, 100, -1}, false, [](int, const char* path, long size) {
         return syscall(SYS_truncate, path, size);
       });
     }},
    {"utimensat",
     [] {
       static const timespec times[2] = {{100, 5}, {200, 6}}, odd[2] = {{100, -5}, {200, 6}};
       ProbeOnePath("utimensat", {0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, 1}, true,
                    [](int at, const char* path, long flags) {
                      return syscall(SYS_utimensat, at, path, times, flags);
                    });
       ProbeOnePath("utimensat odd", {0}, false, [](int, const char* path, long flags) {
         return syscall(SYS_utimensat, AT_FDCWD, path, odd, flags);
       });
       for (const DirFd& at : DirFds()) {
         Try(std::string("utimensat(NULL) ") + at.shown,
             [&] { return syscall(SYS_utimensat, at.fd, nullptr, times, 0); });
       }
     }},
    {"setxattr", [] { ProbeXattr("setxattr", true); }},
    {"lsetxattr", [] { ProbeXattr("lsetxattr", false); }},
    {"getxattr",
     [] {
       ProbeOnePath("getxattr", {0, 1, 100}, false, [](int, const char* path, long size) {
         return ReadOut(
             [&](char* buffer, std::size_t n) {
               return syscall(SYS_getxattr, path, "user.one", buffer, n);
             },
             static_cast<std::size_t>(size));
       });
     }},
    {"lgetxattr",
     [] {
       ProbeOnePath("lgetxattr", {0, 100}, false, [](int, const char* path, long size) {
         return ReadOut(
             [&](char* buffer, std::size_t n) {
               return syscall(SYS_lgetxattr, path, "user.one", buffer, n);
             },
             static_cast<std::size_t>(size));
       });
     }},
    {"listxattr",
     [] {
       ProbeOnePath("listxattr", {0, 1, 100}, false, [](int, const char* path, long size) {
         return ReadOut([&](char* b, std::size_t n) { return syscall(SYS_listxattr, path, b, n); },
                        static_cast<std::size_t>(size));
       });
     }},
    {"llistxattr",
     [] {
       ProbeOnePath("llistxattr", {0, 100}, false, [](int, const char* path, long size) {
         return ReadOut([&](char* b, std::size_t n) { return syscall(SYS_llistxattr, path, b, n); },
                        static_cast<std::size_t>(size));
       });
     }},
    {"removexattr",
     [] {
       ProbeOnePath("removexattr", {0}, false, [](int, const char* path, long) {
         return syscall(SYS_removexattr, path, "user.one");
       });
     }},
    {"lremovexattr",
     [] {
       ProbeOnePath("lremovexattr", {0}, false, [](int, const char* path, long) {
         return syscall(SYS_lremovexattr, path, "user.one");
       });
     }},
    {"bind", [] { ProbeAddress("bind", SYS_bind); }},
    {"connect",
     [] {
       ProbeAddress("connect", SYS_connect);
       for (int fd : {0, 999, -1}) {
         Try("connect(fd " + std::to_string(fd) + ")",
             [&] { return syscall(SYS_connect, fd, "\1\0x", 3); });
       }
     }},
};

void Probe(char** argv) {
  root = argv[1];
  opens_by_open = std::string(argv[2]) == "openat";
  auto run = [&] {
    auto probe = kProbes.find(argv[2]);
    if (probe != kProbes.end()) probe->second();
    ProbeTelling(argv[2]);
    ProbeStarts(argv[2]);
    ProbeMoves(argv[2]);
    ProbeBpf(argv[2]);
    ProbeEvents(argv[2]);
    ProbeLoading(argv[2]);
    ProbeObjectCalls(argv[2]);
    ProbeOldTimes(argv[2]);
    ProbeSending(argv[2]);
    ProbeAccepting(argv[2]);
    ProbeMounting(argv[2]);
    ProbeTasks(argv[2]);
    ProbeAttributesAt(argv[2]);
  };
  run();
  stride = std::max(1L, shapes / std::max(1L, std::atol(argv[3])));
  shapes = 0;
  run();
}

}  // namespace
}  // namespace callgate::conformance

int main(int argc, char** argv) {
  if (callgate::conformance::TellsWhatItWasGiven(argc, argv)) return 0;
  if (argc != 4) return 2;
  callgate::conformance::Probe(argv);
  return 0;
}
