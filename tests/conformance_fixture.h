#pragma once

#include <fcntl.h>
#include <sys/types.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <vector>

// The directory in which conformance_prober.cc tries calls, and what is seen of their effects.

namespace callgate::conformance {

inline const char* const kBadPointer = reinterpret_cast<const char*>(8);

// A path that is asked about, and how it is shown.
struct Path {
  std::string text;
  const char* pointer = nullptr;  // not null: instead of the text

  const char* get() const { return pointer == nullptr ? text.c_str() : pointer; }
  std::string Show() const {
    if (pointer != nullptr) return "BAD";
    if (text.size() > 40) return text.substr(0, 5) + "...";
    return "\"" + text + "\"";
  }
};

extern std::string root;  // ours
extern bool opens_by_open;
extern int directory_fd, file_fd;  // of the fixture

std::vector<Path> Paths();
// Makes the directory anew, if something in it was changed, and goes there.
void MakeFixture();
// Prints a result, and everything that is in the directory if that changed. O_NOFOLLOW is not shown
// among the flags of a descriptor: a file that was pinned is opened through a link of /proc.
void Tell(const std::string& shown, long result, int error, bool is_descriptor);

struct DirFd {
  int fd;
  const char* shown;
};
inline std::vector<DirFd> DirFds() {
  return {{AT_FDCWD, "CWD"}, {directory_fd, "d"}, {file_fd, "f"}, {999, "none"}};
}

// Every how-many-th shape is tried; 0: they are only counted.
extern long stride, shapes;

template <typename Call>
void Try(const std::string& shown, Call call, bool is_descriptor = false) {
  ++shapes;
  if (stride == 0 || shapes % stride != 0) return;
  MakeFixture();
  errno = 0;
  long result = call();
  Tell(shown, result, errno, is_descriptor);
}

// One path, perhaps a directory for it, and arguments behind.
using OnePath = std::function<long(int dirfd, const char* path, long variant)>;
inline void ProbeOnePath(const std::string& call, const std::vector<long>& variants, bool has_dirfd,
                         const OnePath& make) {
  for (long variant : variants) {
    for (const Path& path : Paths()) {
      for (const DirFd& at : DirFds()) {
        if (!has_dirfd && at.fd != AT_FDCWD) continue;
        Try(call + "(" + at.shown + " " + path.Show() + ", " + std::to_string(variant) + ")",
            [&] { return make(at.fd == AT_FDCWD ? AT_FDCWD : at.fd, path.get(), variant); });
      }
    }
  }
}

// A child that sleeps; ended with the prober.
pid_t SleepingChild();

// The result and what was written.
inline long ReadOut(const std::function<long(char*, std::size_t)>& call, std::size_t size) {
  char buffer[512];
  std::memset(buffer, 'z', sizeof buffer);
  long result = call(buffer, size);
  std::size_t sum = 0;
  for (char c : buffer) sum = sum * 31 + static_cast<unsigned char>(c);
  int error = errno;
  std::printf("sum %zu ", sum);
  errno = error;
  return result;
}

// conformance_telling.cc: access, stat, readlink and their siblings.
void ProbeTelling(const std::string& call);
// conformance_objects.cc: calls on a descriptor's file, statfs, and truncate with a limit.
void ProbeObjectCalls(const std::string& call);
// conformance_sending.cc: the send family.
void ProbeSending(const std::string& call);
// conformance_accept.cc: accept, listen, shutdown.
void ProbeAccepting(const std::string& call);
// conformance_mounting.cc: mount and its siblings.
void ProbeMounting(const std::string& call);
// conformance_tasks.cc: scheduling and limits.
void ProbeTasks(const std::string& call);
// conformance_attributes.cc: setxattrat and its siblings.
void ProbeAttributesAt(const std::string& call);
// utime, utimes, futimesat.
void ProbeOldTimes(const std::string& call);

// conformance_bpf.cc: bpf.
void ProbeBpf(const std::string& call);
// conformance_events.cc: perf_event_open.
void ProbeEvents(const std::string& call);
// conformance_loading.cc: init_module and finit_module.
void ProbeLoading(const std::string& call);
// conformance_moving.cc: chdir, fchdir, chroot.
void ProbeMoves(const std::string& call);
// conformance_exec.cc: execve and execveat.
void ProbeStarts(const std::string& call);
// A copy of the prober that was started by ProbeStarts prints what it was given. False: it is none.
bool TellsWhatItWasGiven(int argc, char** argv);

}  // namespace callgate::conformance
