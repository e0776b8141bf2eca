// Mounts, made by a helper that has entered the caller's namespaces (helper.cc): what a mount acts
// on is the mount namespace of who makes it, and what it may is asked in the user namespace of
// that.
//
// The mount point, and what is bound, moved or cloned, are pinned and given by /proc/self/fd. A
// mount point that is unmounted must not be held: its parent is, and the last name is used.
//
// A file system may find in its source and its options more than text: names of files, numbers of
// descriptors. They would be looked up as the helper's. So only those are mounted whose options are
// known to be text (kPlain); the others get EOPNOTSUPP. The source of those is a mere label.
//
// open_tree and fsmount give descriptors that the kernel hands over to nobody (O_PATH): they are
// the caller's own affair, ruled by registers.

#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
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
constexpr std::size_t kPage = 4096;
constexpr std::uint64_t kOldMagic = 0xc0ed0000, kOldMagicMask = 0xffff0000;  // MS_MGC_VAL
constexpr std::uint64_t kNoUser = 1ULL << 31;                                // MS_NOUSER
constexpr std::uint64_t kPropagation = MS_SHARED | MS_PRIVATE | MS_SLAVE | MS_UNBINDABLE;

enum class What : std::uint8_t {
  kMount,
  kUnmount,
  kMoveMount,
  kOpenSystem,  // fsopen
  kPick,
  kSetAttributes,
};

// Registers of each call.
struct Layout {
  std::string_view call;
  What what;
  int dirfd = kNone;
  int path = kNone;
  int to_dirfd = kNone;
  int to_path = kNone;
  int flags = kNone;
};

constexpr std::array<Layout, 6> kLayouts{{
    {.call = "mount", .what = What::kMount, .path = 1, .flags = 3},
    {.call = "umount2", .what = What::kUnmount, .path = 0, .flags = 1},
    {.call = "move_mount",
     .what = What::kMoveMount,
     .dirfd = 0,
     .path = 1,
     .to_dirfd = 2,
     .to_path = 3,
     .flags = 4},
    {.call = "fsopen", .what = What::kOpenSystem, .flags = 1},
    {.call = "fspick", .what = What::kPick, .dirfd = 0, .path = 1, .flags = 2},
    {.call = "mount_setattr", .what = What::kSetAttributes, .dirfd = 0, .path = 1, .flags = 2},
}};

// Their options name neither files nor descriptors, and they ask nothing of their source.
constexpr std::array<std::string_view, 7> kPlain{"cgroup2", "devpts", "mqueue", "proc",
                                                 "ramfs",   "sysfs",  "tmpfs"};

class MountPerformer final : public Performer {
 public:
  explicit MountPerformer(const Layout& layout) : layout_(layout) {}

  Scope ScopeOf() const override { return Scope::kAll; }
  int Prepare(Inputs& inputs, const Surroundings& around) override;
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  std::uint64_t Flags(const Inputs& inputs) const {
    return inputs.Register(static_cast<std::size_t>(layout_.flags));
  }
  int PrepareMount(Inputs& inputs, const Surroundings& around);
  int PrepareUnmount(Inputs& inputs, const Surroundings& around, bool follows);
  int PrepareMove(Inputs& inputs, const Surroundings& around);
  int PrepareOptions(Inputs& inputs);
  int PrepareAttributes(Inputs& inputs);
  // `empty`: the flag that lets an empty path stand for the directory itself.
  static int Pin(Inputs& inputs, const Surroundings& around, int dirfd, int path, bool follows,
                 bool may_be_empty);
  Reply Mount(Inputs& inputs) const;
  Reply Unmount(Inputs& inputs) const;

  const Layout& layout_;
  std::optional<std::string> source_, type_;
  std::vector<std::byte> options_;  // a page of text; empty: none
  bool has_source_path_ = false;
  std::vector<std::byte> attributes_;
};

std::string Link(const PinnedPath& pinned) {
  return fmt::format("/proc/self/fd/{}", pinned.object.get());
}

Reply Result(long result) { return result < 0 ? Reply::Error(errno) : Reply::Value(result); }

Reply NewDescriptor(long result, bool closes_on_exec) {
  if (result < 0) return Reply::Error(errno);
  return Reply::Descriptor(base::UniqueFd(static_cast<int>(result)),
                           closes_on_exec ? O_CLOEXEC : 0);
}

bool IsPlain(const std::string& type) { return std::ranges::find(kPlain, type) != kPlain.end(); }

// Of one that is not mounted here: whoever may not mount hears that, and what the kernel does not
// know it says itself.
int ErrnoOfSystem(const std::string& type) {
  base::UniqueFd context(static_cast<int>(syscall(SYS_fsopen, type.c_str(), 1)));
  return context.valid() ? EOPNOTSUPP : errno;
}

int MountPerformer::Pin(Inputs& inputs, const Surroundings& around, int dirfd, int path,
                        bool follows, bool may_be_empty) {
  auto slot = static_cast<std::size_t>(path);
  auto text = inputs.String(slot, kMaxPath);
  if (!text) return text.error();
  if (text->empty() && !may_be_empty) return ENOENT;
  int start = dirfd == kNone ? AT_FDCWD
                             : static_cast<int>(inputs.Register(static_cast<std::size_t>(dirfd)));
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace, *text, start);
  if (!places) return places.error();
  if (text->empty()) {
    auto pinned = ResolveDescriptor(*places, std::move(places->start));
    if (!pinned) return pinned.error();
    inputs.SetPinned(slot, std::move(*pinned));
    return 0;
  }
  auto pinned =
      inputs.Pin(slot, *places, follows ? Follow::kAll : Follow::kNotLast, Needs::kObjectAndParent);
  return pinned ? 0 : pinned.error();
}

// One page, or what there is of it: at an address that cannot be read to the end of its page there
// is no text at all (copy_mount_options).
int MountPerformer::PrepareOptions(Inputs& inputs) {
  std::uint64_t address = inputs.Register(4);
  if (address == 0) return 0;
  std::size_t first = kPage - address % kPage;
  auto begin = inputs.Copy(address, first);
  if (!begin) return begin.error();
  options_ = std::move(*begin);
  if (first < kPage) {
    auto rest = inputs.Copy(address + first, kPage - first);
    if (rest) options_.insert(options_.end(), rest->begin(), rest->end());
  }
  options_.resize(kPage);
  options_.back() = std::byte{};
  return 0;
}

int MountPerformer::PrepareMount(Inputs& inputs, const Surroundings& around) {
  constexpr std::size_t kSource = 0, kType = 2;
  auto text = [&](std::size_t slot, std::optional<std::string>& into) {
    if (inputs.Register(slot) == 0) return 0;
    auto copied = inputs.String(slot, kMaxPath);
    if (!copied) return copied.error() == ENAMETOOLONG ? EINVAL : copied.error();
    into = std::move(*copied);
    return 0;
  };
  if (int error = text(kType, type_); error != 0) return error;
  if (int error = text(kSource, source_); error != 0) return error;
  if (int error = PrepareOptions(inputs); error != 0) return error;
  if (int error = Pin(inputs, around, kNone, layout_.path, true, false); error != 0) return error;
  std::uint64_t flags = Flags(inputs);
  bool uses_source = (flags & MS_BIND) != 0 || (flags & (MS_MOVE | kPropagation)) == MS_MOVE;
  if ((flags & MS_REMOUNT) != 0 || !uses_source) return 0;
  if (!source_ || source_->empty()) return 0;  // the kernel says what is wrong with that
  has_source_path_ = true;
  return Pin(inputs, around, kNone, kSource, true, false);
}

// The last component may be none ("d/."): then the name is found by the path it stands for.
int MountPerformer::PrepareUnmount(Inputs& inputs, const Surroundings& around, bool follows) {
  if (int error = Pin(inputs, around, kNone, layout_.path, follows, false); error != 0) {
    return error;
  }
  const PinnedPath& pinned = *inputs.Pinned(0);
  if (!pinned.Exists() || pinned.parent.valid() || pinned.path.size() < 2) return 0;
  std::string path = pinned.path;
  struct stat former{}, now{};
  if (fstat(pinned.object.get(), &former) < 0) return errno;
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace, path, AT_FDCWD);
  if (!places) return places.error();
  auto again =
      inputs.PinText(Inputs::kSlots, path, *places, Follow::kNotLast, Needs::kObjectAndParent);
  if (!again) return again.error();
  PinnedPath& named = **again;
  if (!named.Exists() || named.path != path || fstat(named.object.get(), &now) < 0 ||
      now.st_dev != former.st_dev || now.st_ino != former.st_ino) {
    return EBUSY;  // it has been moved away meanwhile
  }
  inputs.SetPinned(0, std::move(named));
  return 0;
}

// An extensible structure: what is beyond what the kernel knows must be zero, and it says so.
int MountPerformer::PrepareAttributes(Inputs& inputs) {
  constexpr std::size_t kAttributes = 3, kSize = 4;
  std::uint64_t size = inputs.Register(kSize);
  auto flags = static_cast<std::uint32_t>(Flags(inputs));
  auto told = [&](const void* attributes) {
    return inputs.ErrnoOf(
        [&] { return syscall(SYS_mount_setattr, -1, nullptr, flags, attributes, size); });
  };
  if (int error = told(nullptr); error != EFAULT) return error;
  auto bytes = inputs.Bytes(kAttributes, size);
  if (!bytes) return bytes.error();
  attributes_ = std::move(*bytes);
  if (int error = told(attributes_.data()); error != EFAULT && error != 0) return error;
  // A descriptor of a user namespace: of the caller's table, where we have none.
  std::uint64_t set = 0;
  constexpr std::uint64_t kIdMap = 0x00100000;  // MOUNT_ATTR_IDMAP
  std::memcpy(&set, attributes_.data(), sizeof set);
  return (set & kIdMap) != 0 ? EOPNOTSUPP : 0;
}

int MountPerformer::PrepareMove(Inputs& inputs, const Surroundings& around) {
  auto flags = static_cast<std::uint32_t>(Flags(inputs));
  int said = inputs.ErrnoOf([&] {
    // Neither name may be left out.
    constexpr std::uint32_t kMayBeEmpty = 4 | 0x40;
    return syscall(SYS_move_mount, -1, nullptr, -1, nullptr, flags & ~kMayBeEmpty);
  });
  if (said != EFAULT) return said;
  // MOVE_MOUNT_F_SYMLINKS 1, F_EMPTY_PATH 4; T_SYMLINKS 0x10, T_EMPTY_PATH 0x40
  int error = Pin(inputs, around, layout_.to_dirfd, layout_.to_path, (flags & 0x10) != 0,
                  (flags & 0x40) != 0);
  if (error != 0) return error;
  error = Pin(inputs, around, layout_.dirfd, layout_.path, (flags & 1) != 0, (flags & 4) != 0);
  // The kernel walks to where it goes first.
  int first = inputs.Pinned(static_cast<std::size_t>(layout_.to_path))->error;
  return error != 0 && first != 0 ? first : error;
}

int MountPerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  std::uint64_t flags = layout_.flags == kNone ? 0 : Flags(inputs);
  switch (layout_.what) {
    case What::kMount:
      return PrepareMount(inputs, around);
    case What::kUnmount:
      if ((flags & 0xffffffff &
           ~std::uint64_t{MNT_FORCE | MNT_DETACH | MNT_EXPIRE | UMOUNT_NOFOLLOW}) != 0) {
        return EINVAL;
      }
      return PrepareUnmount(inputs, around, (flags & UMOUNT_NOFOLLOW) == 0);
    case What::kOpenSystem: {
      if (int error = inputs.ErrnoOf([&] { return syscall(SYS_fsopen, nullptr, flags); });
          error != EFAULT) {
        return error;
      }
      auto name = inputs.String(0, kMaxPath);
      if (!name) return name.error() == ENAMETOOLONG ? EINVAL : name.error();
      type_ = std::move(*name);
      return 0;
    }
    case What::kPick:
      if (int error = inputs.ErrnoOf([&] { return syscall(SYS_fspick, -1, nullptr, flags); });
          error != EFAULT) {
        return error;
      }
      // FSPICK_SYMLINK_NOFOLLOW 2, FSPICK_EMPTY_PATH 8
      return Pin(inputs, around, layout_.dirfd, layout_.path, (flags & 2) == 0, (flags & 8) != 0);
    case What::kSetAttributes:
      if (int error = PrepareAttributes(inputs); error != 0) return error;
      return Pin(inputs, around, layout_.dirfd, layout_.path, (flags & AT_SYMLINK_NOFOLLOW) == 0,
                 (flags & AT_EMPTY_PATH) != 0);
    case What::kMoveMount:
      return PrepareMove(inputs, around);
  }
  return ENOSYS;
}

Reply MountPerformer::Mount(Inputs& inputs) const {
  std::uint64_t flags = Flags(inputs);
  if ((flags & kOldMagicMask) == kOldMagic) flags &= ~kOldMagicMask;
  if ((flags & kNoUser) != 0) return Reply::Error(EINVAL);
  bool makes = (flags & (MS_REMOUNT | MS_BIND | MS_MOVE | kPropagation)) == 0;
  bool has_options =
      std::ranges::any_of(options_, [](std::byte byte) { return byte != std::byte{}; });
  bool changes_system = (flags & (MS_REMOUNT | MS_BIND)) == MS_REMOUNT && has_options;
  if (changes_system) return Reply::Error(EOPNOTSUPP);
  if (makes && type_ && !IsPlain(*type_)) return Reply::Error(ErrnoOfSystem(*type_));
  std::string target = Link(*inputs.Pinned(static_cast<std::size_t>(layout_.path)));
  std::optional<std::string> source = source_;
  if (has_source_path_) {
    const PinnedPath& pinned = *inputs.Pinned(0);
    // Whoever may not mount hears that first: without a source it is EINVAL for the others.
    source = pinned.error == 0 ? Link(pinned) : "";
    if (pinned.error != 0 && syscall(SYS_mount, "", target.c_str(), "", flags, nullptr) < 0 &&
        errno == EINVAL) {
      return Reply::Error(pinned.error);
    }
  }
  return Result(syscall(SYS_mount, source ? source->c_str() : nullptr, target.c_str(),
                        type_ ? type_->c_str() : nullptr, flags,
                        options_.empty() ? nullptr : options_.data()));
}

Reply MountPerformer::Unmount(Inputs& inputs) const {
  PinnedPath& pinned = *inputs.Pinned(static_cast<std::size_t>(layout_.path));
  auto flags = static_cast<int>(Flags(inputs));
  if (!pinned.parent.valid()) return Result(umount2(Link(pinned).c_str(), flags));
  pinned.object.Reset();
  std::string file = fmt::format("/proc/self/fd/{}/{}", pinned.parent.get(), pinned.name);
  return Result(umount2(file.c_str(), flags | UMOUNT_NOFOLLOW));
}

Reply MountPerformer::Perform(Inputs& inputs, const Surroundings& around) {
  for (int path : {layout_.to_path, layout_.path}) {
    if (path == kNone) continue;
    const PinnedPath& pinned = *inputs.Pinned(static_cast<std::size_t>(path));
    if (pinned.error != 0) return Reply::Error(pinned.error);
  }
  auto object = [&](int path) {
    return inputs.Pinned(static_cast<std::size_t>(path))->object.get();
  };
  std::uint64_t flags = Flags(inputs);
  // A process of another pid namespace would see ours.
  if (type_ == "proc" && !around.same_pid_namespace) return Reply::Error(EOPNOTSUPP);
  switch (layout_.what) {
    case What::kMount:
      return Mount(inputs);
    case What::kUnmount:
      return Unmount(inputs);
    case What::kMoveMount:
      return Result(syscall(SYS_move_mount, object(layout_.path), "", object(layout_.to_path), "",
                            flags | 4 | 0x40));
    case What::kOpenSystem:
      if (!IsPlain(*type_)) return Reply::Error(ErrnoOfSystem(*type_));
      return NewDescriptor(syscall(SYS_fsopen, type_->c_str(), flags | 1), (flags & 1) != 0);
    case What::kPick:
      return NewDescriptor(syscall(SYS_fspick, object(layout_.path), "", flags | 8 | 1),
                           (flags & 1) != 0);
    case What::kSetAttributes:
      return Result(syscall(SYS_mount_setattr, object(layout_.path), "", flags | AT_EMPTY_PATH,
                            attributes_.data(), attributes_.size()));
  }
  return Reply::Error(ENOSYS);
}

}  // namespace

std::unique_ptr<Performer> MakeMountPerformer(std::string_view call) {
  return MakeByRow<MountPerformer>(kLayouts, call);
}

}  // namespace callgate::supervise
