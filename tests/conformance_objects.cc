#include <fcntl.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {
namespace {

// What a descriptor can refer to; opened anew for each call.
struct Object {
  const char* shown;
  std::function<int()> open;
};

int Opened(const char* path, int flags) {
  return opens_by_open ? static_cast<int>(syscall(SYS_open, path, flags))
                       : openat(AT_FDCWD, path, flags);
}

int EndOf(bool is_pipe) {
  int ends[2] = {-1, -1};
  int failed = is_pipe ? pipe(ends) : socketpair(AF_UNIX, SOCK_STREAM, 0, ends);
  if (failed != 0) return -1;
  close(ends[0]);
  return ends[1];
}

int Removed() {
  int fd = Opened("d/g", O_RDWR);
  unlink("d/g");
  return fd;
}

const std::vector<Object> kObjects{
    {"rw", [] { return Opened("f", O_RDWR); }},
    {"r", [] { return Opened("f", O_RDONLY); }},
    {"append", [] { return Opened("f", O_WRONLY | O_APPEND); }},
    {"path", [] { return Opened("f", O_PATH); }},
    {"link", [] { return Opened("lf", O_PATH | O_NOFOLLOW); }},
    {"directory", [] { return Opened("d", O_RDONLY | O_DIRECTORY); }},
    {"directory path", [] { return Opened("d", O_PATH); }},
    {"fifo", [] { return Opened("fifo", O_RDWR); }},
    {"removed", Removed},
    {"null", [] { return Opened("/dev/zero", O_RDWR); }},
    {"pipe", [] { return EndOf(true); }},
    {"socket", [] { return EndOf(false); }},
    {"eventfd", [] { return eventfd(0, 0); }},
    {"memfd", [] { return memfd_create("f", 0); }},
    {"none", [] { return 999; }},
    {"-1", [] { return -1; }},
};

using OneObject = std::function<long(std::uint64_t fd, long variant)>;
void ProbeObjects(const std::string& call, const std::vector<long>& variants,
                  const OneObject& make) {
  for (long variant : variants) {
    for (const Object& object : kObjects) {
      Try(call + "(" + object.shown + ", " + std::to_string(variant) + ")", [&] {
        int fd = object.open();
        // What stands above the 32 bits of a descriptor means nothing.
        std::uint64_t wide = static_cast<std::uint32_t>(fd) | std::uint64_t{7} << 32;
        long result = make(wide, variant);
        int error = errno;
        if (fd < 900) close(fd);
        errno = error;
        return result;
      });
    }
  }
}

volatile std::sig_atomic_t limit_signals = 0;

// With a limit of 50 bytes for files.
void ProbeFileSizes(const std::string& call, const std::function<long(int fd, long size)>& make) {
  std::signal(SIGXFSZ, [](int) { limit_signals = limit_signals + 1; });
  for (int flags : {O_RDWR, O_RDONLY}) {
    for (long size : {3, 50, 51, 4000}) {
      Try(call + "(limited, " + std::to_string(size) + ")", [&] {
        int fd = Opened("f", flags);
        rlimit before{};
        getrlimit(RLIMIT_FSIZE, &before);
        rlimit limit{.rlim_cur = 50, .rlim_max = before.rlim_max};
        fflush(stdout);
        setrlimit(RLIMIT_FSIZE, &limit);
        limit_signals = 0;
        long result = make(fd, size);
        int error = errno;
        setrlimit(RLIMIT_FSIZE, &before);
        std::printf("signals %d ", static_cast<int>(limit_signals));
        close(fd);
        errno = error;
        return result;
      });
    }
  }
}

void ProbeAttributes(const std::string& call) {
  const std::vector<std::string> names{"user.one", "user.none", "", "none",
                                       "user." + std::string(251, 'n')};
  if (call == "fsetxattr") {
    ProbeObjects(call, {0, 1, 2, 8}, [](std::uint64_t fd, long flags) {
      return syscall(SYS_fsetxattr, fd, "user.three", "a\0b", 3, flags);
    });
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    const char* name = names[i].c_str();
    std::vector<long> which{static_cast<long>(i)};
    if (call == "fsetxattr") {
      ProbeObjects(call, which, [name](std::uint64_t fd, long) {
        return syscall(SYS_fsetxattr, fd, name, "v", 1, 0);
      });
    } else if (call == "fremovexattr") {
      ProbeObjects(call, which,
                   [name](std::uint64_t fd, long) { return syscall(SYS_fremovexattr, fd, name); });
    } else {
      ProbeObjects(call, {0, 1, 100}, [name](std::uint64_t fd, long size) {
        return ReadOut([&](char* buffer,
                           std::size_t n) { return syscall(SYS_fgetxattr, fd, name, buffer, n); },
                       static_cast<std::size_t>(size));
      });
    }
  }
}

// What stays the same from one run to the next.
long Statfs(const std::function<long(struct statfs*)>& call) {
  struct statfs status{};
  long result = call(&status);
  int error = errno;
  std::printf("%lx %ld %ld ", status.f_type, status.f_bsize, status.f_namelen);
  errno = error;
  return result;
}

}  // namespace

void ProbeObjectCalls(const std::string& call) {
  if (call == "fchmod") {
    ProbeObjects(call, {0600, 06777, 0x10400, 0},
                 [](std::uint64_t fd, long mode) { return syscall(SYS_fchmod, fd, mode); });
  }
  if (call == "fchown") {
    ProbeObjects(call, {-1, 0, 7, 1 << 20},
                 [](std::uint64_t fd, long id) { return syscall(SYS_fchown, fd, id, -1); });
  }
  if (call == "ftruncate") {
    ProbeObjects(call, {0, 3, 100, -1},
                 [](std::uint64_t fd, long size) { return syscall(SYS_ftruncate, fd, size); });
    ProbeFileSizes(call, [](int fd, long size) { return syscall(SYS_ftruncate, fd, size); });
  }
  if (call == "fallocate") {
    for (long offset : {0L, 2L, -1L}) {
      ProbeObjects(call, {0, 1, 3, 0x10, 0x400}, [offset](std::uint64_t fd, long mode) {
        return syscall(SYS_fallocate, fd, mode, offset, 10);
      });
    }
    ProbeObjects(call, {0, -1}, [](std::uint64_t fd, long size) {
      return syscall(SYS_fallocate, fd, 0, 0, size);
    });
    ProbeFileSizes(call, [](int fd, long size) { return syscall(SYS_fallocate, fd, 0, 0, size); });
  }
  if (call == "truncate") {
    ProbeFileSizes(call, [](int, long size) { return syscall(SYS_truncate, "f", size); });
  }
  if (call == "fsetxattr" || call == "fgetxattr" || call == "fremovexattr") ProbeAttributes(call);
  if (call == "flistxattr") {
    ProbeObjects(call, {0, 1, 8, 100}, [](std::uint64_t fd, long size) {
      return ReadOut(
          [&](char* buffer, std::size_t n) { return syscall(SYS_flistxattr, fd, buffer, n); },
          static_cast<std::size_t>(size));
    });
    ProbeObjects(call + " bad", {100}, [](std::uint64_t fd, long size) {
      return syscall(SYS_flistxattr, fd, kBadPointer, size);
    });
  }
  if (call == "fstat") {
    ProbeObjects(call, {0, 1, 2}, [](std::uint64_t fd, long variant) -> long {
      struct stat status{};
      const void* into = &status;
      if (variant == 1) into = kBadPointer;
      if (variant == 2) into = nullptr;
      long result = syscall(SYS_fstat, fd, into);
      int error = errno;
      std::printf("%o %u %lx ", status.st_mode, status.st_uid, status.st_rdev);
      errno = error;
      return result;
    });
    ProbeObjects("fstat size", {0}, [](std::uint64_t fd, long) {
      struct stat status{};
      long result = syscall(SYS_fstat, fd, &status);
      std::printf("%ld %lu ", S_ISDIR(status.st_mode) ? 0 : status.st_size,
                  S_ISDIR(status.st_mode) ? 0 : status.st_nlink);
      return result;
    });
  }
  if (call == "getdents" || call == "getdents64") {
    const bool is_old = call == "getdents";
    // What there is, whatever the order; the second call goes on where the first has ended.
    ProbeObjects(call, {0, 10, 24, 60, 4096, 200'000, -1}, [is_old](std::uint64_t fd, long size) {
      std::vector<char> buffer(300'000);
      auto next = [&] {
        return syscall(is_old ? SYS_getdents : SYS_getdents64, fd,
                       size == -1 ? const_cast<char*>(kBadPointer) : buffer.data(),
                       size == -1 ? 4096 : size);
      };
      std::vector<std::string> names;
      long result = next(), error = errno;
      for (long got = result; got > 0; got = next()) {
        for (long at = 0; at < got;) {
          std::uint16_t length = 0;
          std::memcpy(&length, &buffer[static_cast<std::size_t>(at) + 16], sizeof length);
          names.emplace_back(&buffer[static_cast<std::size_t>(at) + (is_old ? 18 : 19)]);
          at += length;
        }
      }
      std::sort(names.begin(), names.end());
      for (const std::string& name : names) std::printf("%s ", name.c_str());
      errno = static_cast<int>(error);
      return size == 24 || size == 60 ? std::min(result, 1L) : result;
    });
  }
  if (call == "fstatfs") {
    ProbeObjects(call, {0, 1, 2, 3}, [](std::uint64_t fd, long variant) {
      return Statfs([&](struct statfs* out) -> long {
        return syscall(SYS_fstatfs, fd, variant == 1 ? kBadPointer : reinterpret_cast<char*>(out));
      });
    });
  }
  if (call == "statfs") {
    ProbeOnePath(call, {0, 1}, false, [](int, const char* path, long variant) {
      return Statfs([&](struct statfs* out) -> long {
        return syscall(SYS_statfs, path, variant == 1 ? kBadPointer : reinterpret_cast<char*>(out));
      });
    });
  }
}

void ProbeOldTimes(const std::string& call) {
  static const timeval good[2] = {{100, 5}, {200, 6}}, early[2] = {{100, -1}, {200, 6}},
                       late[2] = {{100, 5}, {200, 1'000'000}};
  static const long seconds[2] = {100, 200};
  auto times = [](long variant) -> const void* {
    switch (variant) {
      case 0:
        return good;
      case 1:
        return early;
      case 2:
        return late;
      default:
        return kBadPointer;
    }
  };
  if (call == "utimes") {
    ProbeOnePath(call, {0, 1, 2, 3}, false, [&](int, const char* path, long variant) {
      return syscall(SYS_utimes, path, times(variant));
    });
  }
  if (call == "futimesat") {
    ProbeOnePath(call, {0, 1, 2, 3}, true, [&](int at, const char* path, long variant) {
      return syscall(SYS_futimesat, at, path, times(variant));
    });
    for (const DirFd& at : DirFds()) {
      Try(std::string("futimesat(NULL) ") + at.shown,
          [&] { return syscall(SYS_futimesat, at.fd, nullptr, good); });
    }
  }
  if (call == "utime") {
    ProbeOnePath(call, {0, 1}, false, [&](int, const char* path, long variant) {
      const void* buffer = variant == 0 ? static_cast<const void*>(seconds) : kBadPointer;
      return syscall(SYS_utime, path, buffer);
    });
  }
}

}  // namespace callgate::conformance
