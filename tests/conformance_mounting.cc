// mount, umount2, move_mount and their siblings, in a mount namespace of the prober's own where it
// can have one. Each call starts from the fixture with a tmpfs mounted on "sticky"; what is mounted
// after it is shown, and all of it detached again.

#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {
namespace {

// <sys/mount.h> cannot be included with <linux/mount.h>.
constexpr long kReadOnly = 1, kNoSuid = 2, kRemount = 32, kBind = 4096, kMove = 8192,
               kRecursive = 16384, kSilent = 32768, kUnbindable = 1L << 17, kPrivate = 1L << 18,
               kSlave = 1L << 19, kShared = 1L << 20, kNoUser = 1L << 31, kOldMagic = 0xc0ed0000;
constexpr long kDetach = 2, kForce = 1, kExpire = 4, kNoFollow = 8;

// Mount points in the fixture, with their file systems and options. The kernel escapes blanks, so
// words are what is between them.
std::vector<std::string> Mounts() {
  std::vector<std::string> mounts;
  FILE* file = std::fopen("/proc/self/mountinfo", "re");
  char line[4096];
  while (file != nullptr && std::fgets(line, sizeof line, file) != nullptr) {
    if (std::strstr(line, (root + "/at").c_str()) == nullptr) continue;
    std::vector<std::string> words;
    for (char* word = std::strtok(line, " \n"); word != nullptr; word = std::strtok(nullptr, " \n"))
      words.emplace_back(word);
    // Behind "-": type, source, options.
    std::string shown = words[4].substr(root.size()) + " " + words[5];
    std::size_t at = 6;
    for (; words[at] != "-"; ++at) shown += words[at].starts_with("shared") ? " shared" : "";
    for (++at; at < words.size(); ++at) {
      bool has_inodes = words[at].find("nr_inodes") != std::string::npos;
      shown += " " + (has_inodes ? words[at].substr(0, words[at].find("nr_inodes")) : words[at]);
    }
    mounts.push_back(shown);
  }
  if (file != nullptr) std::fclose(file);
  return mounts;
}

long Mount(const char* source, const char* target, const char* type, long flags, const char* data) {
  return syscall(SYS_mount, source, target, type, flags, data);
}

// The result, with what is mounted then; all is taken away again.
template <typename Call>
void TryMounting(const std::string& shown, Call call) {
  Try(shown, [&] {
    Mount("before", "sticky", "tmpfs", 0, nullptr);
    errno = 0;
    long result = call();
    int error = errno;
    for (const std::string& mount : Mounts()) std::printf("<%s> ", mount.c_str());
    (void)!chdir("/");
    for (int i = 0; i < 8 && !Mounts().empty(); ++i) {
      for (const std::string& mount : Mounts()) {
        syscall(SYS_umount2, (root + mount.substr(0, mount.find(' '))).c_str(), kDetach);
      }
    }
    (void)!chdir((root + "/at").c_str());
    errno = error;
    return result;
  });
}

void ProbeMount() {
  struct Way {
    const char* type;
    long flags;
    const char* data;
  };
  const std::vector<Way> ways{
      {"tmpfs", 0, nullptr},
      {"tmpfs", kNoSuid | kReadOnly, "size=64k,mode=700"},
      {"tmpfs", kOldMagic, ""},
      {"tmpfs", 0, "bad=option"},
      {"ramfs", kSilent, "mode=750"},
      {nullptr, 0, nullptr},
      {kBadPointer, 0, nullptr},
      {"tmpfs", 0, kBadPointer},
      {"tmpfs", kNoUser, nullptr},
      {nullptr, kBind, nullptr},
      {nullptr, kBind | kRecursive, nullptr},
      {kBadPointer, kBind, nullptr},
      {nullptr, kBind | kRemount | kReadOnly, nullptr},
      {nullptr, kRemount, nullptr},
      {nullptr, kMove, nullptr},
      {nullptr, kPrivate, nullptr},
      {nullptr, kShared | kRecursive, nullptr},
      {nullptr, kShared | kPrivate, nullptr},
      {nullptr, kSlave, nullptr},
      {nullptr, kUnbindable, nullptr},
  };
  const char* sources[] = {nullptr, "label", "d", "sticky", "f", "lf", "", kBadPointer, "none/x"};
  const char* targets[] = {"d",  "sticky", "f", "ld", "none",      "dang", "loop",
                           "f/", "d/",     "",  ".",  "shut/none", "fifo", kBadPointer};
  long index = 0;
  for (const Way& way : ways) {
    for (const char* source : sources) {
      for (const char* target : targets) {
        auto text = [](const char* s) {
          return s == nullptr ? "NULL" : s == kBadPointer ? "BAD" : s;
        };
        std::string shown = "mount(" + std::string(text(source)) + ", " + text(target) + ", " +
                            text(way.type) + ", " + std::to_string(way.flags) + ", " +
                            text(way.data) + ") " + std::to_string(index++);
        TryMounting(shown, [&] { return Mount(source, target, way.type, way.flags, way.data); });
      }
    }
  }
}

void ProbeUnmount() {
  std::vector<Path> paths = Paths();
  for (const char* more : {"sticky", "sticky/", "sticky/.", "./sticky", "d/../sticky"}) {
    paths.push_back({.text = more});
  }
  for (long flags : {0L, kDetach, kForce, kExpire, kNoFollow, kNoFollow | kDetach, 16L}) {
    for (const Path& path : paths) {
      TryMounting("umount2(" + path.Show() + ", " + std::to_string(flags) + ")",
                  [&] { return syscall(SYS_umount2, path.get(), flags); });
    }
  }
}

void ProbeMove() {
  const char* from[] = {"sticky", "d", "f", "none", "", kBadPointer, "ld"};
  const char* to[] = {"d", "f", "ld", "none", "", kBadPointer, "sticky"};
  for (long flags : {0L, 1L, 4L, 0x10L, 0x40L, 0x44L, 0x100L, 0x8000L}) {
    for (const char* source : from) {
      for (const char* target : to) {
        auto text = [](const char* s) { return s == kBadPointer ? "BAD" : s; };
        TryMounting(
            "move_mount(" + std::string(text(source)) + ", " + text(target) + ", " +
                std::to_string(flags) + ")",
            [&] { return syscall(SYS_move_mount, AT_FDCWD, source, AT_FDCWD, target, flags); });
      }
    }
  }
}

void ProbeSystems(const std::string& call) {
  const char* names[] = {"tmpfs", "ramfs", "", kBadPointer, "tmpfs.", "mqueue"};
  for (int round = 0; round < 4; ++round) {
    for (long flags : {0L, 1L, 2L, 3L}) {
      for (const char* name : names) {
        if (name != kBadPointer && (std::string(name) == "tmpfs." || *name == 0) && round > 0) {
          continue;
        }
        Try(
            call + "(" + (name == kBadPointer ? "BAD" : name) + ", " + std::to_string(flags) +
                ") " + std::to_string(round),
            [&] { return syscall(SYS_fsopen, name, flags); }, true);
      }
    }
  }
}

void ProbePick() {
  for (long flags : {0L, 1L, 2L, 4L, 8L, 15L, 16L}) {
    for (const Path& path : Paths()) {
      for (const DirFd& at : DirFds()) {
        long descriptor = -1;
        TryMounting("fspick(" + std::string(at.shown) + " " + path.Show() + ", " +
                        std::to_string(flags) + ")",
                    [&] {
                      descriptor = syscall(SYS_fspick, at.fd, path.get(), flags);
                      int error = errno;
                      if (descriptor >= 0) close(static_cast<int>(descriptor));
                      errno = error;
                      return descriptor < 0 ? descriptor : 0;
                    });
      }
    }
  }
}

void ProbeAttributes() {
  struct Way {
    std::uint64_t set, clear, propagation;
    std::size_t size;
  };
  const std::vector<Way> ways{{MOUNT_ATTR_RDONLY, 0, 0, 32},  {0, MOUNT_ATTR_NODEV, 0, 32},
                              {MOUNT_ATTR_NOEXEC, 0, 0, 31},  {0, 0, 1UL << 18U, 32},
                              {MOUNT_ATTR_NOSUID, 0, 0, 40},  {1ULL << 60U, 0, 0, 32},
                              {MOUNT_ATTR_RDONLY, 0, 0, 5000}};
  for (const Way& way : ways) {
    for (long flags : {0L, static_cast<long>(AT_EMPTY_PATH), 0x8000L, 1L}) {
      for (const char* path : {"sticky", "d", "", "none"}) {
        struct {
          mount_attr attributes;
          std::uint64_t more[700];
        } buffer{.attributes = {.attr_set = way.set,
                                .attr_clr = way.clear,
                                .propagation = way.propagation,
                                .userns_fd = 0},
                 .more = {}};
        TryMounting(
            "mount_setattr(" + std::string(path) + ", " + std::to_string(flags) + ", " +
                std::to_string(way.set) + " " + std::to_string(way.size) + ")",
            [&] { return syscall(SYS_mount_setattr, AT_FDCWD, path, flags, &buffer, way.size); });
      }
    }
  }
}

}  // namespace

void ProbeMounting(const std::string& call) {
  bool mounts = call == "mount" || call == "umount2" || call == "move_mount" || call == "fsopen" ||
                call == "fspick" || call == "mount_setattr";
  if (!mounts) return;
  static const bool own = unshare(CLONE_NEWNS) == 0;
  if (own) Mount(nullptr, "/", nullptr, kPrivate | kRecursive, nullptr);
  if (call == "mount") ProbeMount();
  if (call == "umount2") ProbeUnmount();
  if (call == "move_mount") ProbeMove();
  if (call == "fsopen") ProbeSystems(call);
  if (call == "fspick") ProbePick();
  if (call == "mount_setattr") ProbeAttributes();
}

}  // namespace callgate::conformance
