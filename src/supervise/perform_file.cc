// Calls on a file that exists.
//
// One that is named by a path is pinned, and the call is made on what is pinned, through
// /proc/self/fd: following that link leads to the very file and no further, also where it is a
// symbolic link itself. One that is named by a descriptor is acted on through our duplicate of it:
// what the caller's descriptor means by then (dup2) does not matter.

#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>
#include <utime.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "supervise/copy.h"
#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

constexpr int kNone = -1;
constexpr std::uint64_t kMaxXattrValue = 65536;  // XATTR_SIZE_MAX
constexpr std::uint64_t kMaxArgs = 4096;         // PAGE_SIZE
constexpr std::uint32_t kFlagNofollow = AT_SYMLINK_NOFOLLOW;

enum class What : std::uint8_t {
  kChmod,
  kChown,
  kTruncate,
  kAllocate,
  kTimes,     // two timespecs
  kTimevals,  // two timevals
  kSeconds,   // a utimbuf
  kSetXattr,
  kGetXattr,
  kListXattr,
  kRemoveXattr,
};

// Registers of each call; the arguments behind the path, or the descriptor, are `first` and what
// follows it.
struct Layout {
  std::string_view call;
  What what;
  bool is_open = false;  // register 0 is a descriptor of the file, there is no path
  int dirfd = kNone;
  int path = 0;
  int first = 1;
  int flags = kNone;    // AT_* flags
  bool follows = true;  // where no flag says otherwise
  int args = kNone;     // a struct xattr_args, with its size behind it
};

constexpr std::array<Layout, 31> kLayouts{{
    {.call = "chmod", .what = What::kChmod},
    {.call = "fchmod", .what = What::kChmod, .is_open = true},
    {.call = "fchmodat", .what = What::kChmod, .dirfd = 0, .path = 1, .first = 2},
    {.call = "fchmodat2", .what = What::kChmod, .dirfd = 0, .path = 1, .first = 2, .flags = 3},
    {.call = "chown", .what = What::kChown},
    {.call = "lchown", .what = What::kChown, .follows = false},
    {.call = "fchown", .what = What::kChown, .is_open = true},
    {.call = "fchownat", .what = What::kChown, .dirfd = 0, .path = 1, .first = 2, .flags = 4},
    {.call = "truncate", .what = What::kTruncate},
    {.call = "ftruncate", .what = What::kTruncate, .is_open = true},
    {.call = "fallocate", .what = What::kAllocate, .is_open = true},
    {.call = "utimensat", .what = What::kTimes, .dirfd = 0, .path = 1, .first = 2, .flags = 3},
    {.call = "futimesat", .what = What::kTimevals, .dirfd = 0, .path = 1, .first = 2},
    {.call = "utimes", .what = What::kTimevals},
    {.call = "utime", .what = What::kSeconds},
    {.call = "setxattr", .what = What::kSetXattr},
    {.call = "lsetxattr", .what = What::kSetXattr, .follows = false},
    {.call = "fsetxattr", .what = What::kSetXattr, .is_open = true},
    {.call = "getxattr", .what = What::kGetXattr},
    {.call = "lgetxattr", .what = What::kGetXattr, .follows = false},
    {.call = "fgetxattr", .what = What::kGetXattr, .is_open = true},
    {.call = "listxattr", .what = What::kListXattr},
    {.call = "llistxattr", .what = What::kListXattr, .follows = false},
    {.call = "flistxattr", .what = What::kListXattr, .is_open = true},
    {.call = "removexattr", .what = What::kRemoveXattr},
    {.call = "lremovexattr", .what = What::kRemoveXattr, .follows = false},
    {.call = "fremovexattr", .what = What::kRemoveXattr, .is_open = true},
    {.call = "setxattrat",
     .what = What::kSetXattr,
     .dirfd = 0,
     .path = 1,
     .first = 3,
     .flags = 2,
     .args = 4},
    {.call = "getxattrat",
     .what = What::kGetXattr,
     .dirfd = 0,
     .path = 1,
     .first = 3,
     .flags = 2,
     .args = 4},
    {.call = "listxattrat",
     .what = What::kListXattr,
     .dirfd = 0,
     .path = 1,
     .first = 3,
     .flags = 2},
    {.call = "removexattrat",
     .what = What::kRemoveXattr,
     .dirfd = 0,
     .path = 1,
     .first = 3,
     .flags = 2},
}};

class FilePerformer final : public Performer {
 public:
  explicit FilePerformer(const Layout& layout) : layout_(layout) {}

  int Prepare(Inputs& inputs, const Surroundings& around) override;
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  std::size_t Slot(std::size_t behind) const {
    return static_cast<std::size_t>(layout_.first) + behind;
  }
  bool IsAboutXattr() const {
    return layout_.what == What::kSetXattr || layout_.what == What::kGetXattr ||
           layout_.what == What::kListXattr || layout_.what == What::kRemoveXattr;
  }
  std::size_t PathSlot() const { return static_cast<std::size_t>(layout_.path); }
  int PrepareValue(Inputs& inputs);
  int PrepareArguments(Inputs& inputs);
  int PrepareTimes(Inputs& inputs);
  int PreparePath(Inputs& inputs, const Surroundings& around);
  bool IsTooLarge(const Inputs& inputs, int file) const;
  // `file`: the path to what is pinned.
  long ActOnPath(Inputs& inputs, const PinnedPath& pinned, const std::string& file);
  long ActOnOpen(Inputs& inputs);
  // `list`: listxattr; `file` is a path or a descriptor.
  template <typename File, typename Get, typename List>
  Reply ReadOut(File file, Get get, List list);

  const Layout& layout_;
  int fd_ = -1;  // is_open
  rlim_t size_limit_ = RLIM_INFINITY;
  std::optional<std::array<timespec, 2>> times_;
  // Of an attribute: where its value is, or is to be written.
  struct {
    std::uint64_t address = 0;
    std::uint64_t size = 0;
    std::uint32_t flags = 0;
  } at_;
  std::string name_;
  std::vector<std::byte> value_;
};

int FilePerformer::PrepareTimes(Inputs& inputs) {
  if (inputs.Register(Slot(0)) == 0) return 0;  // now
  std::array<std::array<std::int64_t, 2>, 2> pairs{};
  static_assert(sizeof pairs == sizeof(timespec) * 2 && sizeof pairs == sizeof(timeval) * 2);
  bool has_parts = layout_.what != What::kSeconds;
  auto bytes = inputs.Bytes(Slot(0), has_parts ? sizeof pairs : sizeof(utimbuf));
  if (!bytes) return bytes.error();
  if (has_parts) {
    std::memcpy(pairs.data(), bytes->data(), bytes->size());
  } else {
    std::memcpy(&pairs[0][0], bytes->data(), sizeof(std::int64_t));
    std::memcpy(&pairs[1][0], bytes->data() + sizeof(std::int64_t), sizeof(std::int64_t));
  }
  times_.emplace();
  for (std::size_t i = 0; i < 2; ++i) {
    auto [seconds, part] = pairs[i];
    if (layout_.what == What::kTimevals) {
      if (part < 0 || part >= 1'000'000) return EINVAL;
      part *= 1000;
    }
    (*times_)[i] = {.tv_sec = seconds, .tv_nsec = part};
  }
  return 0;
}

int FilePerformer::PrepareValue(Inputs& inputs) {
  if (layout_.what == What::kListXattr) {
    at_ = {.address = inputs.Register(Slot(0)), .size = inputs.Register(Slot(1))};
    return 0;
  }
  if (layout_.args == kNone) {
    bool sets = layout_.what == What::kSetXattr;
    at_ = {.address = inputs.Register(Slot(1)),
           .size = inputs.Register(Slot(2)),
           .flags = sets ? static_cast<std::uint32_t>(inputs.Register(Slot(3))) : 0};
    return 0;
  }
  struct {
    std::uint64_t value;
    std::uint32_t size, flags;
  } args{};
  auto slot = static_cast<std::size_t>(layout_.args);
  std::uint64_t size = inputs.Register(slot + 1);
  if (size < sizeof args) return EINVAL;
  if (size > kMaxArgs) return E2BIG;
  auto bytes = inputs.Bytes(slot, size);
  if (!bytes) return bytes.error();
  std::memcpy(&args, bytes->data(), sizeof args);
  // What this does not know must not be asked for.
  auto rest = std::span(*bytes).subspan(sizeof args);
  if (std::ranges::any_of(rest, [](std::byte byte) { return byte != std::byte{}; })) return E2BIG;
  at_ = {.address = args.value, .size = args.size, .flags = args.flags};
  return layout_.what == What::kGetXattr && args.flags != 0 ? EINVAL : 0;
}

int FilePerformer::PrepareArguments(Inputs& inputs) {
  switch (layout_.what) {
    case What::kChmod:
    case What::kChown:
    case What::kListXattr:
      return 0;
    case What::kTruncate:
      if (static_cast<off_t>(inputs.Register(Slot(0))) < 0) return EINVAL;
      [[fallthrough]];
    case What::kAllocate: {
      auto limit = ReadFileSizeLimit(inputs.tid());
      if (!limit) return ESRCH;
      size_limit_ = *limit;
      return 0;
    }
    case What::kTimes:
    case What::kTimevals:
    case What::kSeconds:
      return PrepareTimes(inputs);
    case What::kSetXattr:
    case What::kGetXattr:
    case What::kRemoveXattr: {
      if ((at_.flags & ~std::uint32_t{XATTR_CREATE | XATTR_REPLACE}) != 0) return EINVAL;
      auto name = inputs.String(Slot(0), kMaxXattrName);
      if (!name) return name.error() == ENAMETOOLONG ? ERANGE : name.error();
      if (name->empty()) return ERANGE;
      name_ = std::move(*name);
      if (layout_.what != What::kSetXattr) return 0;
      if (at_.size > kMaxXattrValue) return E2BIG;
      auto bytes = inputs.Copy(at_.address, at_.size);
      if (!bytes) return bytes.error();
      value_ = std::move(*bytes);
      return 0;
    }
  }
  return ENOSYS;
}

int FilePerformer::PreparePath(Inputs& inputs, const Surroundings& around) {
  bool follows = layout_.follows;
  bool may_be_empty = false;
  if (layout_.flags != kNone) {
    auto flags =
        static_cast<std::uint32_t>(inputs.Register(static_cast<std::size_t>(layout_.flags)));
    follows = (flags & kFlagNofollow) == 0;
    may_be_empty = (flags & AT_EMPTY_PATH) != 0;
  }
  int dirfd = layout_.dirfd == kNone
                  ? AT_FDCWD
                  : static_cast<int>(inputs.Register(static_cast<std::size_t>(layout_.dirfd)));
  // utimensat and futimesat without a path are about the descriptor itself.
  bool is_times = layout_.what == What::kTimes || layout_.what == What::kTimevals;
  bool may_have_none = is_times || (may_be_empty && IsAboutXattr());
  bool no_path = layout_.dirfd != kNone && inputs.Register(PathSlot()) == 0 && may_have_none;
  if (no_path && is_times && dirfd == AT_FDCWD) return EFAULT;
  // Two of them take an empty path for a descriptor, and the working directory is none.
  bool needs_open = layout_.what == What::kListXattr || layout_.what == What::kRemoveXattr;
  std::string text;
  if (!no_path) {
    auto copied = inputs.String(PathSlot(), kMaxPath);
    if (!copied) return copied.error();
    text = std::move(*copied);
  }
  if (text.empty() && !no_path && !may_be_empty) return ENOENT;
  if (text.empty() && needs_open && dirfd == AT_FDCWD) return EBADF;
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace, text, dirfd);
  if (!places) return places.error();
  if (text.empty()) {
    auto pinned = ResolveDescriptor(*places, std::move(places->start));
    if (!pinned) return pinned.error();
    inputs.SetPinned(PathSlot(), std::move(*pinned));
    return 0;
  }
  auto pinned = inputs.Pin(PathSlot(), *places, follows ? Follow::kAll : Follow::kNotLast);
  return pinned ? 0 : pinned.error();
}

int FilePerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  if (IsAboutXattr()) {
    if (int error = PrepareValue(inputs); error != 0) return error;
  }
  if (layout_.flags != kNone) {
    auto flags =
        static_cast<std::uint32_t>(inputs.Register(static_cast<std::size_t>(layout_.flags)));
    if ((flags & ~(kFlagNofollow | AT_EMPTY_PATH)) != 0) return EINVAL;
  }
  if (int error = PrepareArguments(inputs); error != 0) return error;
  if (!layout_.is_open) return PreparePath(inputs, around);
  auto fd = inputs.Descriptor(0);
  if (!fd) return fd.error();
  fd_ = *fd;
  return 0;
}

// The kernel would ask for our limit, not the caller's (fs/attr.c, inode_newsize_ok).
bool FilePerformer::IsTooLarge(const Inputs& inputs, int file) const {
  if (size_limit_ == RLIM_INFINITY) return false;
  std::uint64_t size = inputs.Register(Slot(0));
  if (layout_.what == What::kAllocate) {
    if ((size & FALLOC_FL_KEEP_SIZE) != 0) return false;
    if (__builtin_add_overflow(inputs.Register(Slot(1)), inputs.Register(Slot(2)), &size)) {
      return false;  // the kernel says what is wrong with that
    }
  }
  struct stat status{};
  if (fstat(file, &status) < 0 || !S_ISREG(status.st_mode)) return false;
  if (size <= size_limit_ || size <= static_cast<std::uint64_t>(status.st_size)) return false;
  // Whoever may not write hears that first.
  if (layout_.is_open) return (fcntl(file, F_GETFL) & O_ACCMODE) != O_RDONLY;
  return syscall(SYS_faccessat2, file, "", W_OK, AT_EACCESS | AT_EMPTY_PATH) == 0;
}

template <typename File, typename Get, typename List>
Reply FilePerformer::ReadOut(File file, Get get, List list) {
  bool lists = layout_.what == What::kListXattr;
  std::vector<char> buffer(std::min<std::uint64_t>(at_.size, kMaxXattrValue));
  ssize_t got = lists ? list(file, buffer.data(), buffer.size())
                      : get(file, name_.c_str(), buffer.data(), buffer.size());
  if (got < 0) return Reply::Error(errno);
  if (buffer.empty()) return Reply::Value(got);
  return Reply::Told(got, at_.address,
                     std::as_bytes(std::span(buffer)).first(static_cast<std::size_t>(got)));
}

long FilePerformer::ActOnPath(Inputs& inputs, const PinnedPath& pinned, const std::string& file) {
  auto number = [&](std::size_t behind) { return inputs.Register(Slot(behind)); };
  switch (layout_.what) {
    case What::kChmod:
      return syscall(SYS_fchmodat, AT_FDCWD, file.c_str(), static_cast<mode_t>(number(0)));
    case What::kChown:
      return syscall(SYS_fchownat, pinned.object.get(), "", static_cast<uid_t>(number(0)),
                     static_cast<gid_t>(number(1)), AT_EMPTY_PATH);
    case What::kTruncate:
      return truncate(file.c_str(), static_cast<off_t>(number(0)));
    case What::kTimes:
    case What::kTimevals:
    case What::kSeconds:
      return syscall(SYS_utimensat, AT_FDCWD, file.c_str(), times_ ? times_->data() : nullptr, 0);
    case What::kSetXattr:
      return syscall(SYS_setxattr, file.c_str(), name_.c_str(), value_.data(), value_.size(),
                     static_cast<int>(at_.flags));
    case What::kRemoveXattr:
      return removexattr(file.c_str(), name_.c_str());
    case What::kAllocate:
    case What::kGetXattr:
    case What::kListXattr:
      break;
  }
  errno = ENOSYS;
  return -1;
}

long FilePerformer::ActOnOpen(Inputs& inputs) {
  auto number = [&](std::size_t behind) { return inputs.Register(Slot(behind)); };
  switch (layout_.what) {
    case What::kChmod:
      return syscall(SYS_fchmod, fd_, static_cast<mode_t>(number(0)));
    case What::kChown:
      return syscall(SYS_fchown, fd_, static_cast<uid_t>(number(0)), static_cast<gid_t>(number(1)));
    case What::kTruncate:
      return ftruncate(fd_, static_cast<off_t>(number(0)));
    case What::kAllocate:
      return syscall(SYS_fallocate, fd_, static_cast<int>(number(0)), number(1), number(2));
    case What::kSetXattr:
      return syscall(SYS_fsetxattr, fd_, name_.c_str(), value_.data(), value_.size(),
                     static_cast<int>(at_.flags));
    case What::kRemoveXattr:
      return fremovexattr(fd_, name_.c_str());
    case What::kTimes:
    case What::kTimevals:
    case What::kSeconds:
    case What::kGetXattr:
    case What::kListXattr:
      break;
  }
  errno = ENOSYS;
  return -1;
}

Reply FilePerformer::Perform(Inputs& inputs, const Surroundings&) {
  bool reads = layout_.what == What::kGetXattr || layout_.what == What::kListXattr;
  std::string file;
  const PinnedPath* pinned = nullptr;
  if (!layout_.is_open) {
    pinned = inputs.Pinned(PathSlot());
    if (pinned->error != 0) return Reply::Error(pinned->error);
    file = fmt::format("/proc/self/fd/{}", pinned->object.get());
  }
  if (reads) {
    return layout_.is_open ? ReadOut(fd_, fgetxattr, flistxattr)
                           : ReadOut(file.c_str(), getxattr, listxattr);
  }
  if (IsTooLarge(inputs, layout_.is_open ? fd_ : pinned->object.get())) {
    return Reply::Signal(SIGXFSZ, EFBIG);
  }
  long result = layout_.is_open ? ActOnOpen(inputs) : ActOnPath(inputs, *pinned, file);
  return result < 0 ? Reply::Error(errno) : Reply::Value(result);
}

}  // namespace

std::unique_ptr<Performer> MakeFilePerformer(std::string_view call) {
  return MakeByRow<FilePerformer>(kLayouts, call);
}

}  // namespace callgate::supervise
