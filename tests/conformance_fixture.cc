#include "tests/conformance_fixture.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

namespace callgate::conformance {

std::string root;
int directory_fd = -1, file_fd = -1;
bool opens_by_open = false;
long stride = 0, shapes = 0;

namespace {

bool is_changed = true;  // since the directory was made
std::string pristine;

// Not by the call that is probed: it would be performed too.
int Open(const char* path, int flags, mode_t mode = 0) {
  if (!opens_by_open) return openat(AT_FDCWD, path, flags, mode);
  return static_cast<int>(syscall(SYS_open, path, flags, mode));
}
DIR* OpenDirectory(const std::string& path) {
  int fd = Open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  return fd < 0 ? nullptr : fdopendir(fd);
}

void MakeFile(const char* name, const char* text, mode_t mode) {
  int fd = Open(name, O_CREAT | O_WRONLY | O_CLOEXEC, mode);
  (void)!write(fd, text, std::strlen(text));
  close(fd);
}

std::string JoinPath(std::string path, const std::string& name) {
  path += '/';
  path += name;
  return path;
}

void Remove(const std::string& path) {
  DIR* directory = OpenDirectory(path);
  if (directory != nullptr) {
    while (dirent* entry = readdir(directory)) {
      std::string name = entry->d_name;
      if (name == "." || name == "..") continue;
      std::string file = JoinPath(path, name);
      if (entry->d_type == DT_DIR) {
        chmod(file.c_str(), 0700);  // not of a link: it would follow it
        Remove(file);
      } else {
        unlink(file.c_str());
      }
    }
    closedir(directory);
  }
  rmdir(path.c_str());
}

// Everything under the working directory, sorted.
void List(const std::string& path, std::string& out) {
  std::vector<std::string> names;
  if (DIR* directory = OpenDirectory(path)) {
    while (dirent* entry = readdir(directory)) names.emplace_back(entry->d_name);
    closedir(directory);
  }
  std::sort(names.begin(), names.end());
  for (const std::string& name : names) {
    if (name == "." || name == "..") continue;
    std::string whole = JoinPath(path, name);
    struct stat status{};
    if (lstat(whole.c_str(), &status) < 0) continue;
    char line[512];
    std::snprintf(line, sizeof line, " %.20s:%o:%u:%u:%ld:%lu:%lx", whole.c_str() + 2,
                  status.st_mode, status.st_uid, status.st_gid,
                  S_ISDIR(status.st_mode) ? 0 : status.st_size,
                  S_ISDIR(status.st_mode) ? 0 : status.st_nlink, status.st_rdev);
    out += line;
    if (status.st_mtime < 1'000'000'000) out += ":old" + std::to_string(status.st_mtime);
    char buffer[256];
    if (S_ISLNK(status.st_mode)) {
      ssize_t size = readlink(whole.c_str(), buffer, sizeof buffer);
      out += "->" + std::string(buffer, size < 0 ? 0 : static_cast<std::size_t>(size));
    }
    ssize_t size = llistxattr(whole.c_str(), buffer, sizeof buffer);
    for (ssize_t i = 0; i < size; ++i) out += buffer[i] == 0 ? '|' : buffer[i];
    if (S_ISDIR(status.st_mode)) List(whole, out);
  }
}

}  // namespace

// None leads out of the directory: the calls change what they are given, also as root.
std::vector<Path> Paths() {
  std::vector<Path> paths;
  for (const char* text :
       {"f",      "d",      "none", "d/",     "f/",   "none/", "none/x", "f/x",  "lf",
        "lf/",    "ld",     "ld/",  "ld/g",   "dang", "dang/", "loop",   "d/.",  "d/..",
        ".",      "..",     "",     "d/../f", "d//g", "./f",   "up",     "fifo", "sticky/planted",
        "shut/x", "d/none", "new/"}) {
    paths.push_back({.text = text});
  }
  paths.push_back({.text = root + "/at/f"});
  paths.push_back({.text = std::string(256, 'n')});
  paths.push_back({.text = "d/" + std::string(255, 'n')});
  paths.push_back({.text = std::string(5000, '/') + "f"});
  paths.push_back({.text = {}, .pointer = kBadPointer});
  return paths;
}

void MakeFixture() {
  umask(027);
  if (!is_changed) return;
  close(directory_fd);
  close(file_fd);
  // A probe may have taken our own way in.
  chmod(root.c_str(), 0755);
  (void)!chdir(root.c_str());
  chmod("at", 0700);
  Remove(root + "/at");
  umask(0);
  mkdir("at", 0755);
  (void)!chdir("at");
  MakeFile("f", "hello", 0644);
  mkdir("d", 0755);
  MakeFile("d/g", "g", 0600);
  (void)!symlink("f", "lf");
  (void)!symlink("d", "ld");
  (void)!symlink("none", "dang");
  (void)!symlink("loop", "loop");
  (void)!symlink("../at/d/g", "up");
  mkfifo("fifo", 0644);
  mkdir("sticky", 01777);
  (void)!symlink("../f", "sticky/planted");
  mkdir("shut", 0);
  setxattr("f", "user.one", "1", 1, 0);
  directory_fd = fcntl(Open("d", O_RDONLY | O_DIRECTORY | O_CLOEXEC), F_DUPFD_CLOEXEC, 50);
  file_fd = fcntl(Open("f", O_RDONLY | O_CLOEXEC), F_DUPFD_CLOEXEC, 60);
  for (int fd = 3; fd < 50; ++fd) close(fd);
  umask(027);
  pristine.clear();
  List(".", pristine);
  is_changed = false;
}

void Tell(const std::string& shown, long result, int error, bool is_descriptor) {
  std::string line = shown + " = ";
  if (result < 0) {
    line += strerrorname_np(error) != nullptr ? strerrorname_np(error) : std::to_string(error);
  } else {
    line += std::to_string(result);
  }
  if (result >= 0 && is_descriptor) {
    int fd = static_cast<int>(result);
    struct stat status{};
    fstat(fd, &status);
    char text[128];
    std::snprintf(text, sizeof text, " [mode %o flags %o fd %d]", status.st_mode,
                  fcntl(fd, F_GETFL) & ~O_NOFOLLOW, fcntl(fd, F_GETFD));
    line += text;
    close(fd);
  }
  umask(0);
  chmod(root.c_str(), 0755);
  (void)!chdir((root + "/at").c_str());
  std::string now;
  List(".", now);
  is_changed = now != pristine;
  // An unchanged directory need not be read again and again.
  line += is_changed ? now : " nothing changed";
  std::printf("%s\n", line.c_str());
}

pid_t SleepingChild() {
  static const pid_t child = [] {
    const pid_t prober = getpid();
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != prober) _exit(0);  // it ended before that
      while (true) pause();
    }
    return pid;
  }();
  return child;
}

}  // namespace callgate::conformance
