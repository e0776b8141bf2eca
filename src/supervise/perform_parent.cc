// Calls that make, move or remove a name: the directory that has the name is pinned, and the call
// is made there with the copied name. The kernel follows no link at the last component of these, so
// what happens, happens to that name in that directory.
//
// link and linkat act on a file that exists: that is pinned too and given by /proc/self/fd. To name
// it by a descriptor (AT_EMPTY_PATH) takes a right of its own, which the supervisor does not lend:
// ENOENT, as for everybody without it.

#include <fcntl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <optional>
#include <string>

#include "fmt/format.h"
#include "supervise/copy.h"
#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

constexpr int kNone = -1;

enum class What : std::uint8_t { kMkdir, kMknod, kUnlink, kRmdir, kRename, kLink, kSymlink };

// Registers of each call. A path without a directory descriptor starts at the working directory.
struct Layout {
  std::string_view call;
  What what;
  int dirfd = kNone;
  int path = kNone;  // the name that is made, moved away or removed
  int new_dirfd = kNone;
  int new_path = kNone;  // rename: the name it gets
  int file = kNone;      // link: the file that gets a name; symlink: the link's text
  int file_dirfd = kNone;
  int mode = kNone;
  int device = kNone;
  int flags = kNone;
};

constexpr std::array<Layout, 14> kLayouts{{
    {.call = "mkdir", .what = What::kMkdir, .path = 0, .mode = 1},
    {.call = "mkdirat", .what = What::kMkdir, .dirfd = 0, .path = 1, .mode = 2},
    {.call = "mknod", .what = What::kMknod, .path = 0, .mode = 1, .device = 2},
    {.call = "mknodat", .what = What::kMknod, .dirfd = 0, .path = 1, .mode = 2, .device = 3},
    {.call = "unlink", .what = What::kUnlink, .path = 0},
    {.call = "unlinkat", .what = What::kUnlink, .dirfd = 0, .path = 1, .flags = 2},
    {.call = "rmdir", .what = What::kRmdir, .path = 0},
    {.call = "rename", .what = What::kRename, .path = 0, .new_path = 1},
    {.call = "renameat",
     .what = What::kRename,
     .dirfd = 0,
     .path = 1,
     .new_dirfd = 2,
     .new_path = 3},
    {.call = "renameat2",
     .what = What::kRename,
     .dirfd = 0,
     .path = 1,
     .new_dirfd = 2,
     .new_path = 3,
     .flags = 4},
    {.call = "link", .what = What::kLink, .path = 1, .file = 0},
    {.call = "linkat",
     .what = What::kLink,
     .dirfd = 2,
     .path = 3,
     .file = 1,
     .file_dirfd = 0,
     .flags = 4},
    {.call = "symlink", .what = What::kSymlink, .path = 1, .file = 0},
    {.call = "symlinkat", .what = What::kSymlink, .dirfd = 1, .path = 2, .file = 0},
}};

class ParentPerformer final : public Performer {
 public:
  explicit ParentPerformer(const Layout& layout) : layout_(layout) {}

  int Prepare(Inputs& inputs, const Surroundings& around) override;
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  long Call(Inputs& inputs, const PinnedPath& at) const;
  int CheckRegisters(const Inputs& inputs) const;
  int PrepareFile(Inputs& inputs, const Surroundings& around);
  static std::size_t Slot(int slot) { return static_cast<std::size_t>(slot); }
  std::uint64_t Optional(const Inputs& inputs, int slot) const {
    return slot == kNone ? 0 : inputs.Register(static_cast<std::size_t>(slot));
  }

  const Layout& layout_;
};

int PinFrom(Inputs& inputs, const Surroundings& around, int dirfd, int path, Follow follow) {
  auto slot = static_cast<std::size_t>(path);
  auto text = inputs.String(slot, kMaxPath);
  if (!text) return text.error();
  if (text->empty()) return ENOENT;
  int start = dirfd != kNone ? static_cast<int>(inputs.Register(static_cast<std::size_t>(dirfd)))
                             : AT_FDCWD;
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace, *text, start);
  if (!places) return places.error();
  auto pinned = inputs.Pin(slot, *places, follow);
  return pinned ? 0 : pinned.error();
}

int ParentPerformer::PrepareFile(Inputs& inputs, const Surroundings& around) {
  if (layout_.what == What::kSymlink) {
    auto text = inputs.String(Slot(layout_.file), kMaxPath);
    if (!text) return text.error();
    return text->empty() ? ENOENT : 0;
  }
  auto flags = static_cast<std::uint32_t>(Optional(inputs, layout_.flags));
  bool follows = (flags & AT_SYMLINK_FOLLOW) != 0;
  return PinFrom(inputs, around, layout_.file_dirfd, layout_.file,
                 follows ? Follow::kAll : Follow::kNotLast);
}

// What the kernel refuses before it looks at a path.
int ParentPerformer::CheckRegisters(const Inputs& inputs) const {
  auto flags = static_cast<std::uint32_t>(Optional(inputs, layout_.flags));
  switch (layout_.what) {
    case What::kMknod:
      switch (Optional(inputs, layout_.mode) & S_IFMT) {
        case 0:
        case S_IFREG:
        case S_IFCHR:
        case S_IFBLK:
        case S_IFIFO:
        case S_IFSOCK:
          return 0;
        case S_IFDIR:
          return EPERM;
        default:
          return EINVAL;
      }
    case What::kUnlink:
      return (flags & ~std::uint32_t{AT_REMOVEDIR}) != 0 ? EINVAL : 0;
    case What::kRename: {
      constexpr std::uint32_t kKnown = RENAME_NOREPLACE | RENAME_EXCHANGE | RENAME_WHITEOUT;
      bool both =
          (flags & RENAME_EXCHANGE) != 0 && (flags & (RENAME_NOREPLACE | RENAME_WHITEOUT)) != 0;
      return (flags & ~kKnown) != 0 || both ? EINVAL : 0;
    }
    case What::kLink:
      return (flags & ~std::uint32_t{AT_SYMLINK_FOLLOW | AT_EMPTY_PATH}) != 0 ? EINVAL : 0;
    case What::kMkdir:
    case What::kRmdir:
    case What::kSymlink:
      return 0;
  }
  return ENOSYS;
}

int ParentPerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  if (int error = CheckRegisters(inputs); error != 0) return error;
  if (layout_.file != kNone) {
    if (int error = PrepareFile(inputs, around); error != 0) return error;
  }
  // The kernel walks the first path before it looks at the second.
  auto first_or = [&](int first, int second_error) {
    const PinnedPath* pinned = first == kNone ? nullptr : inputs.Pinned(Slot(first));
    bool failed = second_error != 0 && pinned != nullptr && pinned->error != 0;
    return failed ? pinned->error : second_error;
  };
  int error =
      first_or(layout_.file, PinFrom(inputs, around, layout_.dirfd, layout_.path, Follow::kParent));
  if (error != 0 || layout_.new_path == kNone) return error;
  return first_or(layout_.path,
                  PinFrom(inputs, around, layout_.new_dirfd, layout_.new_path, Follow::kParent));
}

long ParentPerformer::Call(Inputs& inputs, const PinnedPath& at) const {
  int parent = at.parent.get();
  const char* name = at.name.c_str();
  auto mode = static_cast<mode_t>(Optional(inputs, layout_.mode));
  auto flags = static_cast<std::uint32_t>(Optional(inputs, layout_.flags));
  switch (layout_.what) {
    case What::kMkdir:
      return syscall(SYS_mkdirat, parent, name, mode);
    case What::kMknod:
      // 32 bits of it, in the kernel's own encoding: glibc's would be another.
      return syscall(SYS_mknodat, parent, name, mode,
                     static_cast<std::uint32_t>(Optional(inputs, layout_.device)));
    case What::kUnlink:
      return syscall(SYS_unlinkat, parent, name, flags);
    case What::kRmdir:
      return syscall(SYS_unlinkat, parent, name, AT_REMOVEDIR);
    case What::kRename: {
      const PinnedPath& to = *inputs.Pinned(Slot(layout_.new_path));
      return syscall(SYS_renameat2, parent, name, to.parent.get(), to.name.c_str(), flags);
    }
    case What::kLink: {
      const PinnedPath& file = *inputs.Pinned(Slot(layout_.file));
      std::string link = fmt::format("/proc/self/fd/{}", file.object.get());
      return syscall(SYS_linkat, AT_FDCWD, link.c_str(), parent, name, AT_SYMLINK_FOLLOW);
    }
    case What::kSymlink: {
      auto text = inputs.String(Slot(layout_.file), kMaxPath);
      return syscall(SYS_symlinkat, text->c_str(), parent, name);
    }
  }
  errno = ENOSYS;
  return -1;
}

Reply ParentPerformer::Perform(Inputs& inputs, const Surroundings& around) {
  for (int slot :
       {layout_.what == What::kLink ? layout_.file : kNone, layout_.path, layout_.new_path}) {
    if (slot == kNone) continue;
    const PinnedPath& pinned = *inputs.Pinned(Slot(slot));
    if (pinned.error != 0) return Reply::Error(pinned.error);
  }
  const PinnedPath& at = *inputs.Pinned(Slot(layout_.path));
  mode_t own_umask = umask(around.identity.umask);
  long result = Call(inputs, at);
  int error = errno;
  umask(own_umask);
  return result < 0 ? Reply::Error(error) : Reply::Value(0);
}

}  // namespace

std::unique_ptr<Performer> MakeParentPerformer(std::string_view call) {
  return MakeByRow<ParentPerformer>(kLayouts, call);
}

}  // namespace callgate::supervise
