// The kernel's path walk (fs/namei.c, link_path_walk), one component at a time, with every
// directory held by an O_PATH descriptor. What has been walked cannot be changed any more: a
// directory that is moved, a link that is swapped, a working directory that is changed by another
// thread touch names, not the descriptors. The decision is made on the path of what is held, and
// the call is performed on what is held.
//
// Why not let openat2(2) walk: its root is ours, not the target's (RESOLVE_IN_ROOT starts every
// path there, also a relative one), it follows links of /proc as us, and when a component is
// missing it does not say which. A policy that is asked about "/srv/a/../missing/x" needs the
// answer.
//
// What the walk must do because the kernel does it with more than names:
//  - `..` stops at the target's root, which is found by mount and inode, not by name;
//  - /proc/self and /proc/thread-self mean the target, not us;
//  - links of /proc that lead to an object (fd/3, cwd, exe) are followed only below the target's
//  own
//    process: below others it would be our right to look, not the target's;
//  - a link in a sticky directory that all may write is followed only if the follower or the
//    directory's owner owns it (fs.protected_symlinks, taken to be on).

#include "supervise/resolve.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <sys/fsuid.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

#include "fmt/format.h"

namespace callgate::supervise {
namespace {

constexpr int kMaxLinks = 40;              // MAXSYMLINKS, include/linux/namei.h
constexpr ino_t kProcRootInode = 1;        // PROC_ROOT_INO
constexpr long kNoSymlinkFollow = 0x2000;  // ST_NOSYMFOLLOW, linux/statfs.h

// The kernel's name for what a descriptor holds, seen from our root.
std::expected<std::string, int> NameOf(int fd) {
  std::array<char, PATH_MAX> buffer;
  ssize_t size =
      readlinkat(OwnDescriptors(), DescriptorName(fd).data(), buffer.data(), buffer.size());
  if (size < 0) return std::unexpected(errno);
  if (size == static_cast<ssize_t>(buffer.size())) return std::unexpected(ENAMETOOLONG);
  std::string name(buffer.data(), static_cast<std::size_t>(size));
  // A memfd is at no path, though its name looks like one: "/memfd:x (deleted)".
  if (name.starts_with("/memfd:") && name.ends_with(" (deleted)")) name.erase(0, 1);
  return name;
}

bool IsSameObject(int a, int b) {
  struct statx left{}, right{};
  constexpr unsigned kWanted = STATX_INO | STATX_MNT_ID;
  if (statx(a, "", AT_EMPTY_PATH, kWanted, &left) < 0 ||
      statx(b, "", AT_EMPTY_PATH, kWanted, &right) < 0) {
    return false;
  }
  return left.stx_ino == right.stx_ino && left.stx_mnt_id == right.stx_mnt_id &&
         left.stx_dev_major == right.stx_dev_major && left.stx_dev_minor == right.stx_dev_minor;
}

// "/proc/123/task/124/fd" → is it below process `tgid`?
bool IsBelowProcess(std::string_view path, pid_t tgid) {
  std::string process = fmt::format("/proc/{}", tgid);
  return tgid > 0 && path.starts_with(process) &&
         (path.size() == process.size() || path[process.size()] == '/');
}

class Walker {
 public:
  Walker(const Places& places, Follow follow, Needs needs)
      : places_(places), follow_(follow), needs_(needs) {}

  std::expected<PinnedPath, int> Walk(std::string path);

 private:
  enum class Step : std::uint8_t { kOn, kEnd, kFailed };

  // Each returns kFailed with broken_ set where we, not the target, are in trouble.
  Step Start(bool absolute);
  base::UniqueFd WalkAtOnce(bool absolute, const char* path, std::uint64_t flags) const;
  bool LeapToEnd(bool absolute);
  bool LeapToDirectory(bool absolute);
  Step TakeUp();
  Step TakeName(const std::string& name, bool is_last);
  Step TakeLink(base::UniqueFd link, const std::string& name, const struct stat& status,
                bool is_last);
  Step FollowMagic(const std::string& name, bool is_last);
  Step TakeOwnDescriptor();
  Step Stop(int error);
  Step Break(int error) {
    broken_ = error;
    return Step::kFailed;
  }
  std::expected<std::string, int> TargetName(int fd) const {
    return places_.our_root >= 0 ? NameOf(fd) : NameInRoot(places_.root.get(), fd);
  }
  std::expected<PinnedPath, int> Finish();

  const Places& places_;
  const Follow follow_;
  const Needs needs_;
  base::UniqueFd at_;  // the directory the walk stands in
  std::string rest_;   // components to come, without leading slashes
  PinnedPath pinned_;
  int links_ = 0;
  int broken_ = 0;
};

Walker::Step Walker::Stop(int error) {
  pinned_.error = error;
  return Step::kEnd;
}

Walker::Step Walker::Start(bool absolute) {
  at_.Reset(fcntl(absolute ? places_.Root() : places_.start.get(), F_DUPFD_CLOEXEC, 0));
  if (!at_.valid()) return Break(errno);
  struct stat status{};
  if (absolute) {
    pinned_.last = PinnedPath::Last::kRoot;
  } else if (fstat(at_.get(), &status) < 0) {
    return Break(errno);
  } else if (!S_ISDIR(status.st_mode)) {
    return Stop(ENOTDIR);  // a descriptor of a file, also where the path is "."
  }
  return Step::kOn;
}

// Most paths lead through directories alone, no links and no `..`. Then one call of the kernel
// walks to where the walk by components would come to. Whatever else there is on the way fails, and
// is walked.
base::UniqueFd Walker::WalkAtOnce(bool absolute, const char* path, std::uint64_t flags) const {
  open_how how{.flags = O_PATH | O_CLOEXEC | flags, .mode = 0, .resolve = RESOLVE_NO_SYMLINKS};
  const int from = absolute ? places_.Root() : places_.start.get();
  return base::UniqueFd(static_cast<int>(syscall(SYS_openat2, from, path, &how, sizeof how)));
}

// To the last component. In the supervisor's own root its name is then what was walked, and need
// not be asked for: no link and no `..` has led elsewhere, and a file that is moved meanwhile had
// this name when it was reached, as for a call that the kernel carries out.
bool Walker::LeapToEnd(bool absolute) {
  if (follow_ == Follow::kParent || needs_ == Needs::kObjectAndParent || !IsPlain(rest_)) {
    return false;
  }
  const std::size_t begin = absolute ? 1 : 0;
  pinned_.object =
      WalkAtOnce(absolute, rest_.c_str() + begin, follow_ == Follow::kNotLast ? O_NOFOLLOW : 0);
  if (!pinned_.Exists()) return false;
  if (absolute && places_.our_root >= 0) pinned_.path = std::move(rest_);
  return true;
}

// To the directory that has the last component.
bool Walker::LeapToDirectory(bool absolute) {
  std::size_t begin = rest_.find_first_not_of('/');
  std::size_t last = rest_.find_last_of('/');
  if (begin == std::string::npos || last == std::string::npos || last <= begin ||
      last + 1 == rest_.size() || ("/" + rest_).find("/..") != std::string::npos) {
    return false;
  }
  at_ = WalkAtOnce(absolute, rest_.substr(begin, last - begin).c_str(), O_DIRECTORY);
  if (!at_.valid()) return false;
  rest_.erase(0, last + 1);
  return true;
}

Walker::Step Walker::TakeUp() {
  if (IsSameObject(at_.get(), places_.Root())) return Step::kOn;
  int up = openat(at_.get(), "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (up < 0) return errno == EMFILE || errno == ENFILE ? Break(errno) : Stop(errno);
  at_.Reset(up);
  return Step::kOn;
}

Walker::Step Walker::FollowMagic(const std::string& name, bool is_last) {
  auto where = NameOf(at_.get());
  if (!where) return Break(where.error());
  if (!IsBelowProcess(*where, places_.tgid)) return Stop(EACCES);
  base::UniqueFd object(openat(at_.get(), name.c_str(), O_PATH | O_CLOEXEC));
  if (!object.valid()) return Stop(errno);
  if (!is_last) {
    at_ = std::move(object);
    return Step::kOn;
  }
  pinned_.object = std::move(object);
  return Step::kEnd;
}

// Another pid namespace has other numbers below /proc, but /proc/self is the caller in all. The
// first link of the path, so that what is left of it is what its descriptor was found by.
Walker::Step Walker::TakeOwnDescriptor() {
  const bool is_meant = links_ == 1 && follow_ == Follow::kAll && rest_.starts_with("/fd/");
  if (!is_meant || !places_.own_descriptor.valid()) return Stop(EACCES);
  pinned_.object.Reset(fcntl(places_.own_descriptor.get(), F_DUPFD_CLOEXEC, 0));
  return pinned_.object.valid() ? Step::kEnd : Break(errno);
}

// A symbolic link that is to be followed: its text is put before what is left of the path.
Walker::Step Walker::TakeLink(base::UniqueFd link, const std::string& name,
                              const struct stat& status, bool is_last) {
  if (++links_ > kMaxLinks) return Stop(ELOOP);
  struct statfs system{};
  if (fstatfs(link.get(), &system) < 0) return Break(errno);
  if ((system.f_flags & kNoSymlinkFollow) != 0) return Stop(ELOOP);
  std::string text;
  if (system.f_type == PROC_SUPER_MAGIC) {
    struct stat parent{};
    if (fstat(at_.get(), &parent) < 0) return Break(errno);
    bool in_root = parent.st_ino == kProcRootInode;
    if (in_root && (name == "self" || name == "thread-self")) {
      if (places_.tgid == 0) return TakeOwnDescriptor();
      text = name == "self" ? fmt::format("{}", places_.tgid)
                            : fmt::format("{}/task/{}", places_.tgid, places_.tid);
    }
  }
  if (is_last) {
    struct stat directory{};
    if (fstat(at_.get(), &directory) < 0) return Break(errno);
    constexpr mode_t kShared = S_ISVTX | S_IWOTH;
    uid_t own = static_cast<uid_t>(setfsuid(static_cast<uid_t>(-1)));  // asks, changes nothing
    if ((directory.st_mode & kShared) == kShared && status.st_uid != own &&
        status.st_uid != directory.st_uid) {
      return Stop(EACCES);
    }
  }
  if (text.empty()) {
    std::array<char, PATH_MAX> buffer;
    ssize_t size = readlinkat(link.get(), "", buffer.data(), buffer.size());
    if (size < 0) return Stop(errno);
    text.assign(buffer.data(), static_cast<std::size_t>(size));
    // A link of /proc that is a text has that text's length; one that leads to an object has none.
    if (system.f_type == PROC_SUPER_MAGIC && status.st_size != size) {
      return FollowMagic(name, is_last);
    }
  }
  if (text.empty()) return Stop(ENOENT);
  bool absolute = text.starts_with('/');
  rest_ = text + (rest_.empty() ? "" : "/" + rest_);
  if (rest_.size() >= PATH_MAX * 2) return Stop(ENAMETOOLONG);
  if (absolute) return Start(true);
  return Step::kOn;
}

Walker::Step Walker::TakeName(const std::string& name, bool is_last) {
  if (name.size() > NAME_MAX) return Stop(ENAMETOOLONG);
  base::UniqueFd next;
  if (!is_last) {
    // Most components are directories: one call.
    next.Reset(openat(at_.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_DIRECTORY | O_CLOEXEC));
    if (next.valid()) {
      at_ = std::move(next);
      return Step::kOn;
    }
    if (errno == EMFILE || errno == ENFILE) return Break(errno);
    if (errno != ENOTDIR) return Stop(errno);
  }
  next.Reset(openat(at_.get(), name.c_str(), O_PATH | O_NOFOLLOW | O_CLOEXEC));
  if (!next.valid() && (errno == EMFILE || errno == ENFILE)) return Break(errno);
  int error = next.valid() ? 0 : errno;
  struct stat status{};
  if (next.valid() && fstat(next.get(), &status) < 0) return Break(errno);
  if (next.valid() && S_ISLNK(status.st_mode) &&
      (!is_last || follow_ == Follow::kAll || pinned_.must_be_directory)) {
    return TakeLink(std::move(next), name, status, is_last);
  }
  if (!is_last) return Stop(error != 0 ? error : ENOTDIR);
  pinned_.object = std::move(next);
  pinned_.parent = std::move(at_);
  pinned_.name = name;
  pinned_.last = PinnedPath::Last::kName;
  return Stop(error);
}

std::expected<PinnedPath, int> Walker::Walk(std::string path) {
  rest_ = std::move(path);
  bool absolute = rest_.starts_with('/');
  if (LeapToEnd(absolute)) return Finish();
  Step step = LeapToDirectory(absolute) ? Step::kOn : Start(absolute);
  while (step == Step::kOn) {
    // Before each component: a link's text may have put slashes there.
    std::size_t begin = rest_.find_first_not_of('/');
    if (begin == std::string::npos) {
      if (follow_ == Follow::kParent) {
        pinned_.parent = std::move(at_);
        pinned_.name = "/";
      } else {
        pinned_.object = std::move(at_);
      }
      break;
    }
    std::size_t end = rest_.find('/', begin);
    std::string name = rest_.substr(begin, end == std::string::npos ? end : end - begin);
    rest_ = end == std::string::npos ? "" : rest_.substr(end);
    bool is_last = rest_.find_first_not_of('/') == std::string::npos;
    if (is_last && !rest_.empty()) pinned_.must_be_directory = true;
    if (is_last && follow_ == Follow::kParent) {
      pinned_.parent = std::move(at_);
      pinned_.name = name + rest_;
      break;
    }
    if (name == ".") {
      pinned_.last = PinnedPath::Last::kDot;
      continue;
    }
    if (name == "..") {
      pinned_.last = PinnedPath::Last::kDotDot;
      step = TakeUp();
      continue;
    }
    std::string unwalked = rest_;
    if (is_last) rest_.clear();
    step = TakeName(name, is_last);
    // What could not be walked is part of what was asked for.
    if (step == Step::kEnd && !is_last) rest_ = name + unwalked;
    if (step == Step::kEnd && is_last && !pinned_.parent.valid() && !pinned_.Exists()) rest_ = name;
  }
  if (step == Step::kFailed) return std::unexpected(broken_);
  return Finish();
}

std::expected<PinnedPath, int> Walker::Finish() {
  if (pinned_.Exists()) {
    struct stat status{};
    if (pinned_.must_be_directory && pinned_.error == 0) {
      if (fstat(pinned_.object.get(), &status) < 0) return std::unexpected(errno);
      if (!S_ISDIR(status.st_mode)) pinned_.error = ENOTDIR;
    }
    if (!pinned_.path.empty()) return std::move(pinned_);  // known from the way
    auto name = TargetName(pinned_.object.get());
    if (!name) return std::unexpected(name.error());
    pinned_.path = std::move(*name);
    return std::move(pinned_);
  }
  int directory = pinned_.parent.valid() ? pinned_.parent.get() : at_.get();
  auto name = TargetName(directory);
  if (!name) return std::unexpected(name.error());
  pinned_.path = *name == "/" ? "" : *name;
  std::string rest = pinned_.parent.valid() ? pinned_.name : rest_;
  if (pinned_.parent.valid()) rest.resize(rest.find_last_not_of('/') + 1);
  pinned_.path += "/" + rest;
  return std::move(pinned_);
}

}  // namespace

bool IsPlain(std::string_view path) {
  if (path.starts_with('/')) path.remove_prefix(1);
  while (true) {
    const std::size_t end = path.find('/');
    const std::string_view name = path.substr(0, end);
    if (name.empty() || name == "." || name == "..") return false;
    if (end == std::string_view::npos) return true;
    path.remove_prefix(end + 1);
  }
}

int OwnDescriptors() {
  // A fork would go on with its parent's.
  static std::atomic<int> directory{-1};
  static const int registered = pthread_atfork(nullptr, nullptr, [] { directory.exchange(-1); });
  int known = directory.load();
  if (known >= 0 || registered != 0) return known;
  int opened = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (opened < 0 || directory.compare_exchange_strong(known, opened)) return opened;
  close(opened);
  return known;
}

bool IsOurRoot(int root) {
  base::UniqueFd ours(open("/", O_PATH | O_DIRECTORY | O_CLOEXEC));
  return ours.valid() && IsSameObject(root, ours.get());
}

std::array<char, 16> DescriptorName(int fd) {
  std::array<char, 16> name{};
  std::to_chars(name.data(), name.data() + name.size() - 1, fd);
  return name;
}

std::expected<std::string, int> NameInRoot(int root, int fd) {
  auto root_name = NameOf(root);
  if (!root_name) return root_name;
  auto name = NameOf(fd);
  if (!name || *root_name == "/" || !name->starts_with('/')) return name;
  if (*name == *root_name) return std::string("/");
  if (!name->starts_with(*root_name + "/")) return std::unexpected(EACCES);
  return name->substr(root_name->size());
}

std::expected<PinnedPath, int> ResolvePath(const Places& places, const std::string& path,
                                           Follow follow, Needs needs) {
  return Walker(places, follow, needs).Walk(path);
}

std::expected<PinnedPath, int> ResolveDescriptor(const Places& places, base::UniqueFd object) {
  // "." of the object itself would need a directory; its name does not.
  PinnedPath pinned;
  auto name = NameInRoot(places.Root(), object.get());
  if (!name) return std::unexpected(name.error());
  pinned.object = std::move(object);
  pinned.last = PinnedPath::Last::kDot;
  pinned.path = std::move(*name);
  return pinned;
}

}  // namespace callgate::supervise
