#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <functional>
#include <string>
#include <vector>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {
namespace {

// What is the same for the same file made twice.
long Stat(const std::function<long(struct stat*)>& call) {
  struct stat status{};
  long result = call(&status);
  int error = errno;
  std::printf("%o %u %u %ld %lu %lx ", status.st_mode, status.st_uid, status.st_gid,
              S_ISDIR(status.st_mode) ? 0 : status.st_size, status.st_nlink, status.st_rdev);
  errno = error;
  return result;
}

}  // namespace

void ProbeTelling(const std::string& call) {
  auto access = [&](long nr, const std::vector<long>& modes, bool has_dirfd) {
    ProbeOnePath(call, modes, has_dirfd, [nr, has_dirfd](int at, const char* path, long mode) {
      return has_dirfd ? syscall(nr, at, path, mode) : syscall(nr, path, mode);
    });
  };
  const std::vector<long> flags{0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_EACCESS, 1};
  if (call == "access") access(SYS_access, {0, 1, 2, 4, 7, 8}, false);
  if (call == "faccessat") access(SYS_faccessat, {4, 6}, true);
  if (call == "faccessat2") {
    ProbeOnePath(call, flags, true, [](int at, const char* path, long flag) {
      return syscall(SYS_faccessat2, at, path, W_OK, flag);
    });
  }
  if (call == "stat" || call == "lstat") {
    long nr = call == "stat" ? SYS_stat : SYS_lstat;
    ProbeOnePath(call, {0}, false, [nr](int, const char* path, long) {
      return Stat([&](struct stat* out) { return syscall(nr, path, out); });
    });
    Try(call + "(bad buffer)", [&] { return syscall(nr, "f", kBadPointer); });
  }
  if (call == "newfstatat") {
    ProbeOnePath(call, flags, true, [](int at, const char* path, long flag) {
      return Stat([&](struct stat* out) { return syscall(SYS_newfstatat, at, path, out, flag); });
    });
  }
  if (call == "statx") {
    ProbeOnePath(call, {0, AT_SYMLINK_NOFOLLOW, AT_EMPTY_PATH, AT_STATX_SYNC_TYPE, 1}, true,
                 [](int at, const char* path, long flag) {
                   struct statx out{};
                   long result = syscall(SYS_statx, at, path, flag, STATX_BASIC_STATS, &out);
                   std::printf("%o %u %x ", out.stx_mode, out.stx_uid, out.stx_mask);
                   return result;
                 });
    Try("statx(reserved)",
        [&] { return syscall(SYS_statx, AT_FDCWD, "f", 0, STATX__RESERVED, nullptr); });
  }
  if (call.starts_with("readlink")) {
    bool has_dirfd = call == "readlinkat";
    ProbeOnePath(call, {0, 1, 100, -1}, has_dirfd,
                 [has_dirfd](int at, const char* path, long size) {
                   return ReadOut(
                       [&](char* buffer, std::size_t n) {
                         return has_dirfd ? syscall(SYS_readlinkat, at, path, buffer, n)
                                          : syscall(SYS_readlink, path, buffer, n);
                       },
                       static_cast<std::size_t>(size));
                 });
  }
}

}  // namespace callgate::conformance
