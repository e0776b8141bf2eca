// Calls on a file that exists and is named by a path: the file is pinned, and the call is made on
// what is pinned, through /proc/self/fd. Following that link leads to the very file and no further,
// also where it is a symbolic link itself.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "supervise/copy.h"
#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

constexpr int kNone = -1;
constexpr std::uint64_t kMaxXattrValue = 65536;  // XATTR_SIZE_MAX
constexpr std::uint32_t kFlagNofollow = AT_SYMLINK_NOFOLLOW;

enum class What : std::uint8_t {
  kChmod,
  kChown,
  kTruncate,
  kTimes,
  kSetXattr,
  kGetXattr,
  kListXattr,
  kRemoveXattr,
};

// Registers of each call; the arguments behind the path are `first` and what follows it.
struct Layout {
  std::string_view call;
  What what;
  int dirfd = kNone;
  int path = 0;
  int first = 1;
  int flags = kNone;    // AT_* flags
  bool follows = true;  // where no flag says otherwise
};

constexpr std::array<Layout, 16> kLayouts{{
    {.call = "chmod", .what = What::kChmod},
    {.call = "fchmodat", .what = What::kChmod, .dirfd = 0, .path = 1, .first = 2},
    {.call = "fchmodat2", .what = What::kChmod, .dirfd = 0, .path = 1, .first = 2, .flags = 3},
    {.call = "chown", .what = What::kChown},
    {.call = "lchown", .what = What::kChown, .follows = false},
    {.call = "fchownat", .what = What::kChown, .dirfd = 0, .path = 1, .first = 2, .flags = 4},
    {.call = "truncate", .what = What::kTruncate},
    {.call = "utimensat", .what = What::kTimes, .dirfd = 0, .path = 1, .first = 2, .flags = 3},
    {.call = "setxattr", .what = What::kSetXattr},
    {.call = "lsetxattr", .what = What::kSetXattr, .follows = false},
    {.call = "getxattr", .what = What::kGetXattr},
    {.call = "lgetxattr", .what = What::kGetXattr, .follows = false},
    {.call = "listxattr", .what = What::kListXattr},
    {.call = "llistxattr", .what = What::kListXattr, .follows = false},
    {.call = "removexattr", .what = What::kRemoveXattr},
    {.call = "lremovexattr", .what = What::kRemoveXattr, .follows = false},
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
  int PrepareArguments(Inputs& inputs);
  Reply ReadOut(Inputs& inputs, const std::string& file, std::size_t value, std::size_t size);

  const Layout& layout_;
  std::optional<std::array<timespec, 2>> times_;
  std::vector<std::byte> value_;
};

int FilePerformer::PrepareArguments(Inputs& inputs) {
  switch (layout_.what) {
    case What::kChmod:
    case What::kChown:
    case What::kListXattr:
      return 0;
    case What::kTruncate:
      return static_cast<off_t>(inputs.Register(Slot(0))) < 0 ? EINVAL : 0;
    case What::kTimes: {
      if (inputs.Register(Slot(0)) == 0) return 0;  // now
      auto bytes = inputs.Bytes(Slot(0), sizeof(timespec) * 2);
      if (!bytes) return bytes.error();
      times_.emplace();
      std::memcpy(times_->data(), bytes->data(), bytes->size());
      return 0;
    }
    case What::kSetXattr:
    case What::kGetXattr:
    case What::kRemoveXattr: {
      bool sets = layout_.what == What::kSetXattr;
      auto flags = sets ? static_cast<std::uint32_t>(inputs.Register(Slot(3))) : 0;
      if ((flags & ~std::uint32_t{XATTR_CREATE | XATTR_REPLACE}) != 0) return EINVAL;
      auto name = inputs.String(Slot(0), kMaxXattrName);
      if (!name) return name.error() == ENAMETOOLONG ? ERANGE : name.error();
      if (name->empty()) return ERANGE;
      if (!sets) return 0;
      std::uint64_t size = inputs.Register(Slot(2));
      if (size > kMaxXattrValue) return E2BIG;
      auto bytes = inputs.Bytes(Slot(1), size);
      if (!bytes) return bytes.error();
      value_ = std::move(*bytes);
      return 0;
    }
  }
  return ENOSYS;
}

int FilePerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  bool follows = layout_.follows;
  bool may_be_empty = false;
  if (layout_.flags != kNone) {
    auto flags =
        static_cast<std::uint32_t>(inputs.Register(static_cast<std::size_t>(layout_.flags)));
    if ((flags & ~(kFlagNofollow | AT_EMPTY_PATH)) != 0) return EINVAL;
    follows = (flags & kFlagNofollow) == 0;
    may_be_empty = (flags & AT_EMPTY_PATH) != 0;
  }
  if (int error = PrepareArguments(inputs); error != 0) return error;
  auto path = static_cast<std::size_t>(layout_.path);
  int dirfd = layout_.dirfd == kNone
                  ? AT_FDCWD
                  : static_cast<int>(inputs.Register(static_cast<std::size_t>(layout_.dirfd)));
  // utimensat without a path is about the descriptor itself.
  bool no_path = layout_.what == What::kTimes && inputs.Register(path) == 0;
  if (no_path && dirfd == AT_FDCWD) return EFAULT;
  std::string text;
  if (!no_path) {
    auto copied = inputs.String(path, kMaxPath);
    if (!copied) return copied.error();
    text = std::move(*copied);
  }
  if (text.empty() && !no_path && !may_be_empty) return ENOENT;
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace,
                         text.starts_with('/') ? AT_FDCWD : dirfd);
  if (!places) return places.error();
  if (text.empty()) {
    auto pinned = ResolveDescriptor(*places, std::move(places->start));
    if (!pinned) return pinned.error();
    inputs.SetPinned(path, std::move(*pinned));
    return 0;
  }
  auto pinned = inputs.Pin(path, *places, follows ? Follow::kAll : Follow::kNotLast);
  return pinned ? 0 : pinned.error();
}

// getxattr and listxattr: the result goes into the caller's memory.
Reply FilePerformer::ReadOut(Inputs& inputs, const std::string& file, std::size_t value,
                             std::size_t size) {
  std::vector<char> buffer(std::min<std::uint64_t>(inputs.Register(size), kMaxXattrValue));
  ssize_t got = 0;
  if (layout_.what == What::kGetXattr) {
    auto name = inputs.String(Slot(0), kMaxXattrName);
    got = getxattr(file.c_str(), name->c_str(), buffer.data(), buffer.size());
  } else {
    got = listxattr(file.c_str(), buffer.data(), buffer.size());
  }
  if (got < 0) return Reply::Error(errno);
  if (buffer.empty()) return Reply::Value(got);
  return Reply::Output(got, value,
                       std::as_bytes(std::span(buffer)).first(static_cast<std::size_t>(got)));
}

Reply FilePerformer::Perform(Inputs& inputs, const Surroundings&) {
  const PinnedPath& pinned = *inputs.Pinned(static_cast<std::size_t>(layout_.path));
  if (pinned.error != 0) return Reply::Error(pinned.error);
  std::string file = fmt::format("/proc/self/fd/{}", pinned.object.get());
  auto number = [&](std::size_t behind) { return inputs.Register(Slot(behind)); };
  long result = -1;
  switch (layout_.what) {
    case What::kChmod:
      result = syscall(SYS_fchmodat, AT_FDCWD, file.c_str(), static_cast<mode_t>(number(0)));
      break;
    case What::kChown:
      result = syscall(SYS_fchownat, pinned.object.get(), "", static_cast<uid_t>(number(0)),
                       static_cast<gid_t>(number(1)), AT_EMPTY_PATH);
      break;
    case What::kTruncate:
      result = truncate(file.c_str(), static_cast<off_t>(number(0)));
      break;
    case What::kTimes:
      result = syscall(SYS_utimensat, AT_FDCWD, file.c_str(), times_ ? times_->data() : nullptr, 0);
      break;
    case What::kSetXattr: {
      auto name = inputs.String(Slot(0), kMaxXattrName);
      result = syscall(SYS_setxattr, file.c_str(), name->c_str(), value_.data(), value_.size(),
                       static_cast<int>(number(3)));
      break;
    }
    case What::kRemoveXattr: {
      auto name = inputs.String(Slot(0), kMaxXattrName);
      result = removexattr(file.c_str(), name->c_str());
      break;
    }
    case What::kGetXattr:
      return ReadOut(inputs, file, Slot(1), Slot(2));
    case What::kListXattr:
      return ReadOut(inputs, file, Slot(0), Slot(1));
  }
  return result < 0 ? Reply::Error(errno) : Reply::Value(result);
}

}  // namespace

std::unique_ptr<Performer> MakeFilePerformer(std::string_view call) {
  return MakeByRow<FilePerformer>(kLayouts, call);
}

}  // namespace callgate::supervise
