// Calls that tell about a file: access, stat, statfs, readlink, getdents64 and their siblings. The
// file is pinned, or our duplicate of the caller's descriptor is it, and asked; what it says is
// written into the caller's memory, where the kernel would have written it.

#include <fcntl.h>
#include <linux/magic.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <climits>
#include <span>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "supervise/borrow.h"
#include "supervise/copy.h"
#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

constexpr int kNone = -1;
// What is told of a directory at once; the caller asks until there is no more.
constexpr std::size_t kMaxEntries = 65'536;

enum class What : std::uint8_t { kAccess, kStat, kStatx, kStatfs, kReadlink, kEntries };

// Registers of each call; the arguments behind the path are `first` and what follows it.
struct Layout {
  std::string_view call;
  What what;
  bool is_open = false;  // register 0 is a descriptor of the file, there is no path
  int dirfd = kNone;
  int path = 0;
  int first = 1;
  int flags = kNone;
  bool follows = true;
};

constexpr std::array<Layout, 14> kLayouts{{
    {.call = "access", .what = What::kAccess},
    {.call = "faccessat", .what = What::kAccess, .dirfd = 0, .path = 1, .first = 2},
    {.call = "faccessat2", .what = What::kAccess, .dirfd = 0, .path = 1, .first = 2, .flags = 3},
    {.call = "stat", .what = What::kStat},
    {.call = "fstat", .what = What::kStat, .is_open = true},
    {.call = "lstat", .what = What::kStat, .follows = false},
    {.call = "newfstatat", .what = What::kStat, .dirfd = 0, .path = 1, .first = 2, .flags = 3},
    {.call = "statx", .what = What::kStatx, .dirfd = 0, .path = 1, .first = 3, .flags = 2},
    {.call = "statfs", .what = What::kStatfs},
    {.call = "fstatfs", .what = What::kStatfs, .is_open = true},
    {.call = "readlink", .what = What::kReadlink, .follows = false},
    {.call = "readlinkat",
     .what = What::kReadlink,
     .dirfd = 0,
     .path = 1,
     .first = 2,
     .follows = false},
    {.call = "getdents", .what = What::kEntries, .is_open = true},
    {.call = "getdents64", .what = What::kEntries, .is_open = true},
}};

std::uint32_t KnownFlags(What what) {
  switch (what) {
    case What::kAccess:
      return AT_EACCESS | AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH;
    case What::kStat:
      return AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH;
    case What::kStatx:
      return AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | AT_EMPTY_PATH | AT_STATX_SYNC_TYPE;
    case What::kStatfs:
    case What::kReadlink:
    case What::kEntries:
      return 0;
  }
  return 0;
}

class TellPerformer final : public Performer {
 public:
  explicit TellPerformer(const Layout& layout) : layout_(layout) {}

  int Prepare(Inputs& inputs, const Surroundings& around) override;
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  std::size_t Slot(std::size_t behind) const {
    return static_cast<std::size_t>(layout_.first) + behind;
  }
  int CheckRegisters(const Inputs& inputs);
  Reply Access(const Inputs& inputs, int file, const Surroundings& around) const;
  Reply ReadLink(Inputs& inputs, const PinnedPath& pinned, const Surroundings& around) const;

  const Layout& layout_;
  int fd_ = -1;  // is_open
  std::uint32_t flags_ = 0;
  bool is_empty_ = false;
};

int TellPerformer::CheckRegisters(const Inputs& inputs) {
  if (layout_.flags != kNone) {
    flags_ = static_cast<std::uint32_t>(inputs.Register(static_cast<std::size_t>(layout_.flags)));
  }
  switch (layout_.what) {
    case What::kAccess:
      if ((inputs.Register(Slot(0)) & 0xffffffff & ~std::uint64_t{R_OK | W_OK | X_OK}) != 0) {
        return EINVAL;
      }
      break;
    case What::kStatx: {
      auto mask = static_cast<std::uint32_t>(inputs.Register(Slot(0)));
      if ((mask & STATX__RESERVED) != 0) return EINVAL;
      if ((flags_ & AT_STATX_SYNC_TYPE) == AT_STATX_SYNC_TYPE) return EINVAL;
      break;
    }
    case What::kReadlink:
      if (static_cast<std::int32_t>(inputs.Register(Slot(1))) <= 0) return EINVAL;
      break;
    case What::kStat:
    case What::kStatfs:
    case What::kEntries:
      break;
  }
  return (flags_ & ~KnownFlags(layout_.what)) != 0 ? EINVAL : 0;
}

int TellPerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  if (int error = CheckRegisters(inputs); error != 0) return error;
  if (layout_.is_open) {
    auto fd = inputs.Descriptor(0);
    if (!fd) return fd.error();
    fd_ = *fd;
    return 0;
  }
  auto path = static_cast<std::size_t>(layout_.path);
  int dirfd = layout_.dirfd == kNone
                  ? AT_FDCWD
                  : static_cast<int>(inputs.Register(static_cast<std::size_t>(layout_.dirfd)));
  auto text = inputs.String(path, kMaxPath);
  if (!text) return text.error();
  bool may_be_empty = (flags_ & AT_EMPTY_PATH) != 0 || layout_.call == "readlinkat";
  is_empty_ = text->empty();
  if (is_empty_ && !may_be_empty) return ENOENT;
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace, *text, dirfd);
  if (!places) return places.error();
  if (is_empty_) {
    auto pinned = ResolveDescriptor(*places, std::move(places->start));
    if (!pinned) return pinned.error();
    inputs.SetPinned(path, std::move(*pinned));
    return 0;
  }
  bool follows = layout_.follows && (flags_ & AT_SYMLINK_NOFOLLOW) == 0;
  auto pinned = inputs.Pin(path, *places, follows ? Follow::kAll : Follow::kNotLast);
  return pinned ? 0 : pinned.error();
}

// access asks with the real ids, which this thread does not have where the caller is somebody else.
Reply TellPerformer::Access(const Inputs& inputs, int file, const Surroundings& around) const {
  std::uint32_t flags = (flags_ & AT_EACCESS) | AT_EMPTY_PATH;
  if ((flags & AT_EACCESS) == 0 && around.is_borrowed) {
    if (!ActByRealIds(around.identity.credentials)) return Reply::Error(EPERM);
    flags |= AT_EACCESS;
  }
  long result =
      syscall(SYS_faccessat2, file, "", static_cast<int>(inputs.Register(Slot(0))), flags);
  return result < 0 ? Reply::Error(errno) : Reply::Value(0);
}

Reply TellPerformer::ReadLink(Inputs& inputs, const PinnedPath& pinned,
                              const Surroundings& around) const {
  struct stat status{};
  struct statfs system{};
  if (fstat(pinned.object.get(), &status) < 0 || fstatfs(pinned.object.get(), &system) < 0) {
    return Reply::Error(errno);
  }
  if (!S_ISLNK(status.st_mode)) return Reply::Error(is_empty_ ? ENOENT : EINVAL);
  std::array<char, PATH_MAX> buffer;
  ssize_t size = readlinkat(pinned.object.get(), "", buffer.data(), buffer.size());
  if (size < 0) return Reply::Error(errno);
  std::string text(buffer.data(), static_cast<std::size_t>(size));
  if (system.f_type == PROC_SUPER_MAGIC && status.st_size != size) {
    // Not a text but what the kernel says to the one who asks; we are not the one.
    std::string own = fmt::format("/proc/{}", around.identity.tgid);
    if (!around.same_pid_namespace) return Reply::Error(EACCES);
    if (pinned.path == "/proc/self") {
      text = fmt::format("{}", around.identity.tgid);
    } else if (pinned.path == "/proc/thread-self") {
      text = fmt::format("{}/task/{}", around.identity.tgid, inputs.tid());
    } else if (!pinned.path.starts_with(own + "/")) {
      return Reply::Error(EACCES);
    }
  }
  auto room = static_cast<std::size_t>(static_cast<std::int32_t>(inputs.Register(Slot(1))));
  text.resize(std::min(text.size(), room));
  return Reply::Told(static_cast<std::int64_t>(text.size()), inputs.Register(Slot(0)),
                     std::as_bytes(std::span(text)));
}

Reply TellPerformer::Perform(Inputs& inputs, const Surroundings& around) {
  const PinnedPath* pinned = inputs.Pinned(static_cast<std::size_t>(layout_.path));
  if (pinned != nullptr && pinned->error != 0) return Reply::Error(pinned->error);
  int file = layout_.is_open ? fd_ : pinned->object.get();
  switch (layout_.what) {
    case What::kAccess:
      return Access(inputs, file, around);
    case What::kStat: {
      // The kernel's structure is the C library's on this ABI.
      struct stat status{};
      static_assert(sizeof status == 144);
      if (syscall(SYS_newfstatat, file, "", &status, AT_EMPTY_PATH) < 0) return Reply::Error(errno);
      return Reply::Told(0, inputs.Register(Slot(0)), std::as_bytes(std::span(&status, 1)));
    }
    case What::kStatx: {
      struct statx status{};
      static_assert(sizeof status == 256);
      auto mask = static_cast<std::uint32_t>(inputs.Register(Slot(0)));
      if (syscall(SYS_statx, file, "", flags_ | AT_EMPTY_PATH, mask, &status) < 0) {
        return Reply::Error(errno);
      }
      return Reply::Told(0, inputs.Register(Slot(1)), std::as_bytes(std::span(&status, 1)));
    }
    case What::kStatfs: {
      struct statfs status{};
      static_assert(sizeof status == 120);
      if (fstatfs(file, &status) < 0) return Reply::Error(errno);
      return Reply::Told(0, inputs.Register(Slot(0)), std::as_bytes(std::span(&status, 1)));
    }
    case What::kReadlink:
      return ReadLink(inputs, *pinned, around);
    case What::kEntries: {
      // The duplicate has the place in the directory in common with the caller's descriptor.
      std::vector<std::byte> entries(
          std::min<std::size_t>(static_cast<std::uint32_t>(inputs.Register(Slot(1))), kMaxEntries));
      const long nr = layout_.call == "getdents" ? SYS_getdents : SYS_getdents64;
      long size = syscall(nr, file, entries.data(), entries.size());
      if (size < 0) return Reply::Error(errno);
      return Reply::Told(size, inputs.Register(Slot(0)),
                         std::span(entries).first(static_cast<std::size_t>(size)));
    }
  }
  return Reply::Error(ENOSYS);
}

}  // namespace

std::unique_ptr<Performer> MakeTellPerformer(std::string_view call) {
  return MakeByRow<TellPerformer>(kLayouts, call);
}

}  // namespace callgate::supervise
