// One file, private to the user, that the last run with a denial owns.
//
// The program that is denied runs as the same user, so the file is no secret from it; it must not
// be a way to write elsewhere, to read elsewhere, or into the terminal of who asks. Therefore the
// folder is opened as itself, not through a link, and must belong to the user and be writable by no
// one else; each run writes a file of its own, made anew, and renames it into its place, which
// replaces a link that stands there; the reader takes a plain file of the user's, of bounded size,
// and no text that could move a cursor. Two runs at once do not mix: the later first denial owns
// the name, and the other file is gone with its run.
//
// What is kept is bounded: the reporter writes sixteen reports a call and rule and a thousand in
// all, and here a mebibyte is the end.

#include "launch/last_denials.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <utility>

#include "fmt/format.h"

namespace callgate::launch {
namespace {

constexpr std::size_t kMaxBytes = std::size_t{1} << 20;
constexpr const char* kName = "last-denials";

// The folder as itself. -1 and errno: it is not there or cannot be opened; EPERM: it is not only
// the user's.
base::UniqueFd OpenFolder(const std::string& folder) {
  base::UniqueFd fd(open(folder.c_str(), O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC));
  struct stat info{};
  if (!fd.valid() || fstat(fd.get(), &info) != 0) return {};
  if (info.st_uid == geteuid() && (info.st_mode & (S_IWGRP | S_IWOTH)) == 0) return fd;
  errno = EPERM;
  return {};
}

void MakeFolders(const std::string& folder) {
  for (std::size_t slash = folder.find('/', 1);; slash = folder.find('/', slash + 1)) {
    mkdir(folder.substr(0, slash).c_str(), 0700);
    if (slash == std::string::npos) return;
  }
}

base::UniqueFd MakeFile(const std::string& folder) {
  MakeFolders(folder);
  const base::UniqueFd directory = OpenFolder(folder);
  if (!directory.valid()) return {};
  const std::string own = fmt::format("{}.{}", kName, getpid());
  constexpr int kFlags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
  // Left by a process of the same id that was killed in between.
  unlinkat(directory.get(), own.c_str(), 0);
  base::UniqueFd file(openat(directory.get(), own.c_str(), kFlags, 0600));
  if (!file.valid()) return {};
  if (renameat(directory.get(), own.c_str(), directory.get(), kName) == 0) return file;
  unlinkat(directory.get(), own.c_str(), 0);
  return {};
}

base::Error ReadError(const std::string& folder, int errno_value) {
  base::Error error = base::ErrnoError("read", fmt::format("{}/{}", folder, kName), errno_value);
  if (errno_value == EPERM) error.reason = "it, or its folder, is not yours alone";
  if (errno_value == ELOOP) error.reason = "a link stands in its place";
  return error;
}

}  // namespace

void DenialRecord::Note(std::string_view json) {
  if (!enabled()) return;
  if (!file_.open()) {
    before_ = json;
    return;
  }
  written_ += json.size();
  if (written_ <= kMaxBytes) file_.Write(json);
}

void DenialRecord::Denied(std::string_view json) {
  if (!enabled()) return;
  if (!file_.open()) {
    file_ = Output(MakeFile(folder_));
    if (!file_.open()) folder_.clear();
    Note(std::exchange(before_, {}));
  }
  Note(json);
}

base::Result<std::optional<LastRun>> ReadLastRun(const std::string& folder) {
  auto fail = [&](int errno_value) -> base::Result<std::optional<LastRun>> {
    if (errno_value == ENOENT) return std::nullopt;
    return base::Fail(ReadError(folder, errno_value));
  };
  const base::UniqueFd directory = OpenFolder(folder);
  if (!directory.valid()) return fail(errno);
  constexpr int kFlags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
  const base::UniqueFd file(openat(directory.get(), kName, kFlags));
  struct stat info{};
  if (!file.valid() || fstat(file.get(), &info) != 0) return fail(errno);
  if (!S_ISREG(info.st_mode) || info.st_uid != geteuid()) return fail(EPERM);
  std::string text(kMaxBytes, '\0');
  std::size_t size = 0;
  ssize_t count = 0;
  while (size < text.size() &&
         (count = read(file.get(), text.data() + size, text.size() - size)) > 0) {
    size += static_cast<std::size_t>(count);
  }
  if (count < 0) return fail(errno);
  LastRun run;
  std::string_view rest(text.data(), size);
  for (std::size_t end = 0; (end = rest.find('\n')) != std::string_view::npos;) {
    ReadRecordLine(rest.substr(0, end), run);
    rest.remove_prefix(end + 1);
  }
  if (run.denials.empty()) return std::nullopt;
  return run;
}

}  // namespace callgate::launch
