// open, openat, openat2, creat.
//
// A file that exists is pinned by an O_PATH descriptor before the policy is asked, and opened again
// through /proc/self/fd: that is the very file, whatever its name is by then. A file that is to be
// made has its directory pinned, and is made there under the copied name, following no link: if
// somebody puts a link under that name meanwhile the call fails with ELOOP.
//
// Most paths lead through directories alone from the supervisor's own root to a plain file, or to
// nothing. So that is presumed: the policy is asked about the path as it is written, and if it
// allows that, one openat2(2) that follows no link opens the file of that name or finds that there
// is none. The kernel then walks names that were decided on, as a walk that pins would have done
// (resolve.cc, LeapToEnd). It waits for nobody; a reader of a FIFO waits for its writer afterwards
// (fifo.h). What it finds otherwise (a link, a device, a file of /proc), and what the policy does
// not simply allow, is pinned and decided as above. A device can notice that it was opened and
// closed, so below /dev nothing is presumed.
//
// The descriptor is put into the caller's table before the call returns, as open(2) does it.
//
// What differs from the kernel's own open, and why:
//  - a terminal never becomes the caller's controlling terminal (it would become ours): O_NOCTTY;
//  - /dev/tty is whatever terminal the opener has, and we have none: ENXIO;
//  - openat2 with RESOLVE_* bits fails with EAGAIN (see Prepare);
//  - the kernel hands no O_PATH descriptor over (seccomp_notify_addfd takes fget, not fget_raw): of
//  a
//    directory the caller gets one that can be read too, if the policy allows that, of another file
//    none: EOPNOTSUPP;
//  - /proc files of other processes are opened only where everybody may read them (IsOpenToAll).

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <expected>
#include <string>

#include "fmt/format.h"
#include "supervise/copy.h"
#include "supervise/fifo.h"
#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

constexpr std::uint64_t kLargeFile = 0100000;  // O_LARGEFILE, which glibc defines as 0
// VALID_OPEN_FLAGS, include/linux/fcntl.h. open and openat ignore other bits, openat2 refuses them.
constexpr std::uint64_t kKnownFlags = O_RDONLY | O_WRONLY | O_RDWR | O_CREAT | O_EXCL | O_NOCTTY |
                                      O_TRUNC | O_APPEND | O_NONBLOCK | O_SYNC | O_DSYNC | FASYNC |
                                      O_DIRECT | kLargeFile | O_DIRECTORY | O_NOFOLLOW | O_NOATIME |
                                      O_CLOEXEC | O_PATH | O_TMPFILE;
constexpr std::uint64_t kTmpFileBit = O_TMPFILE & ~O_DIRECTORY;  // __O_TMPFILE
// O_PATH_FLAGS: the others mean nothing beside O_PATH.
constexpr std::uint64_t kPathFlags = O_DIRECTORY | O_NOFOLLOW | O_PATH | O_CLOEXEC;
constexpr std::uint64_t kModeBits = 07777;
constexpr std::uint64_t kFirstSize = 24;  // OPEN_HOW_SIZE_VER0
constexpr std::size_t kPage = 4096;

enum class Kind : std::uint8_t { kOpen, kOpenAt, kOpenAt2, kCreat };

struct Row {
  std::string_view call;
  Kind kind;
};
constexpr std::array<Row, 4> kRows{{{"open", Kind::kOpen},
                                    {"openat", Kind::kOpenAt},
                                    {"openat2", Kind::kOpenAt2},
                                    {"creat", Kind::kCreat}}};

// Of other processes, what /proc shows to everybody without asking who is asking
// (fs/proc/base.c: no ptrace_may_access behind it).
bool IsOpenToAll(std::string_view name) {
  constexpr std::array<std::string_view, 10> kNames{"cgroup",    "cmdline", "comm", "limits",
                                                    "oom_score", "sched",   "stat", "statm",
                                                    "status",    "task"};
  return std::ranges::find(kNames, name) != kNames.end();
}

constexpr unsigned kUniqueMount = 0x4000;  // STATX_MNT_ID_UNIQUE, Linux 6.8
constexpr unsigned kWanted = STATX_TYPE | STATX_MODE | kUniqueMount;

// Is the file one of /proc? What is mounted somewhere stays what it is, and a mount's unique number
// is never given again.
std::expected<bool, int> IsProc(int fd, const struct statx& status) {
  static std::array<std::atomic<std::uint64_t>, 16> others{};  // mounts of other kinds
  const bool is_unique = (status.stx_mask & kUniqueMount) != 0;
  auto& known = others[status.stx_mnt_id % others.size()];
  if (is_unique && known.load(std::memory_order_relaxed) == status.stx_mnt_id) return false;
  struct statfs system{};
  if (fstatfs(fd, &system) < 0) return std::unexpected(errno);
  const bool is_proc = system.f_type == PROC_SUPER_MAGIC;
  if (is_unique && !is_proc) known.store(status.stx_mnt_id, std::memory_order_relaxed);
  return is_proc;
}

class OpenPerformer final : public Performer {
 public:
  explicit OpenPerformer(const Row& row) : kind_(row.kind) {}

  int Prepare(Inputs& inputs, const Surroundings& around) override;
  bool Presume(Inputs& inputs, const Surroundings& around) override;
  bool Presumes() const override { return presumed_root_ >= 0; }
  bool MayBlock() const override { return may_block_; }
  bool NeedsStatus() const override { return (flags_ & (O_CREAT | kTmpFileBit)) != 0; }
  // To open a plain file or a directory that is there changes nothing.
  bool OnlyReplies() const override {
    return (flags_ & (O_CREAT | kTmpFileBit | O_TRUNC)) == 0 &&
           (S_ISREG(status_.stx_mode) || S_ISDIR(status_.stx_mode));
  }
  std::optional<abi::Call> GivesAsMuchAs(const abi::Call& call) const override;
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  int ReadArguments(Inputs& inputs);
  int CheckFlags();
  int CheckProc(const PinnedPath& pinned, const Surroundings& around) const;
  Reply OpenPresumed(const std::string& path, const Surroundings& around) const;
  Reply Reopen(const PinnedPath& pinned) const;
  Reply Create(const PinnedPath& pinned, mode_t umask_bits) const;
  std::uint32_t DescriptorFlags() const { return flags_ & O_CLOEXEC; }

  Kind kind_;
  std::size_t path_slot_ = 0;
  int dirfd_ = AT_FDCWD;
  std::uint64_t flags_ = 0;
  std::uint64_t mode_ = 0;
  std::uint64_t resolve_ = 0;
  bool may_block_ = false;
  int presumed_root_ = -1;
  struct statx status_ = {};  // of a file that exists
};

int OpenPerformer::ReadArguments(Inputs& inputs) {
  auto flags_of = [&](std::size_t slot) {
    return static_cast<std::uint32_t>(inputs.Register(slot)) & kKnownFlags;
  };
  auto mode_of = [&](std::size_t slot) { return inputs.Register(slot) & 0xffff; };  // umode_t
  switch (kind_) {
    case Kind::kCreat:
      flags_ = O_CREAT | O_WRONLY | O_TRUNC;
      mode_ = mode_of(1);
      break;
    case Kind::kOpen:
      flags_ = flags_of(1);
      mode_ = mode_of(2);
      break;
    case Kind::kOpenAt:
      path_slot_ = 1;
      dirfd_ = static_cast<int>(inputs.Register(0));
      flags_ = flags_of(2);
      mode_ = mode_of(3);
      break;
    case Kind::kOpenAt2: {
      path_slot_ = 1;
      dirfd_ = static_cast<int>(inputs.Register(0));
      std::uint64_t size = inputs.Register(3);
      if (size < kFirstSize) return EINVAL;
      if (size > kPage) return E2BIG;
      auto bytes = inputs.Bytes(2, size);
      if (!bytes) return bytes.error();
      // What this code does not know must be zero (copy_struct_from_user).
      if (std::any_of(bytes->begin() + sizeof(open_how), bytes->end(),
                      [](std::byte byte) { return byte != std::byte{}; })) {
        return E2BIG;
      }
      open_how how{};
      static_assert(sizeof how == kFirstSize);
      std::memcpy(&how, bytes->data(), sizeof how);
      flags_ = how.flags;
      mode_ = how.mode;
      resolve_ = how.resolve;
      if ((flags_ & ~kKnownFlags) != 0) return EINVAL;
      bool creates = (flags_ & (O_CREAT | kTmpFileBit)) != 0;
      if (creates ? (mode_ & ~kModeBits) != 0 : mode_ != 0) return EINVAL;
      break;
    }
  }
  return 0;
}

// build_open_flags, fs/open.c.
int OpenPerformer::CheckFlags() {
  bool creates = (flags_ & (O_CREAT | kTmpFileBit)) != 0;
  mode_ = creates ? mode_ & kModeBits : 0;
  constexpr std::uint64_t kCreateDirectory = O_DIRECTORY | O_CREAT;
  if ((flags_ & kTmpFileBit) != 0) {
    if ((flags_ & O_DIRECTORY) == 0 || (flags_ & O_CREAT) != 0) return EINVAL;
    if ((flags_ & O_ACCMODE) == O_RDONLY) return EINVAL;
  } else if ((flags_ & kCreateDirectory) == kCreateDirectory) {
    return EINVAL;
  }
  if ((flags_ & O_PATH) != 0) {
    if (kind_ == Kind::kOpenAt2 && (flags_ & ~kPathFlags) != 0) return EINVAL;
    flags_ &= kPathFlags;
  }
  return 0;
}

bool OpenPerformer::Presume(Inputs& inputs, const Surroundings& around) {
  constexpr std::uint64_t kOthers = O_CREAT | O_TRUNC | O_PATH | kTmpFileBit | FASYNC;
  const int root = around.identity.our_root;
  if (root < 0 || ReadArguments(inputs) != 0 || CheckFlags() != 0) return false;
  if (resolve_ != 0 || (flags_ & kOthers) != 0) return false;
  auto path = inputs.String(path_slot_, kMaxPath);
  if (!path || !path->starts_with('/') || path->starts_with("/dev/") ||
      path->starts_with("/proc/") || !IsPlain(*path)) {
    return false;
  }
  presumed_root_ = root;
  PinnedPath presumed;
  presumed.path = std::move(*path);
  inputs.SetPinned(path_slot_, std::move(presumed));
  return true;
}

int OpenPerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  if (around.may_presume && Presume(inputs, around)) return 0;
  if (int error = ReadArguments(inputs); error != 0) return error;
  if (int error = CheckFlags(); error != 0) return error;
  // Our walk starts at the target's root and follows links as the target does. What these bits ask
  // for (no way out of a directory, no links, no other mount) it does not do; EAGAIN is what the
  // kernel says when it cannot promise it either, and callers have a way round.
  if (resolve_ != 0) return (resolve_ & ~std::uint64_t{0x3f}) != 0 ? EINVAL : EAGAIN;
  auto text = inputs.String(path_slot_, kMaxPath);
  if (!text) return text.error();
  if (text->empty()) return ENOENT;
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace, *text, dirfd_);
  if (!places) return places.error();
  bool exclusive = (flags_ & O_CREAT) != 0 && (flags_ & O_EXCL) != 0;
  bool follows = (flags_ & O_NOFOLLOW) == 0 && !exclusive;
  auto pinned = inputs.Pin(path_slot_, *places, follows ? Follow::kAll : Follow::kNotLast,
                           (flags_ & O_CREAT) != 0 ? Needs::kObjectAndParent : Needs::kObject);
  if (!pinned) return pinned.error();
  if (!(*pinned)->Exists()) return 0;
  if (statx((*pinned)->object.get(), "", AT_EMPTY_PATH, kWanted, &status_) < 0) return errno;
  constexpr unsigned kMemoryDevices = 1;  // /dev/null, /dev/zero, …: never wait
  bool is_device = (S_ISCHR(status_.stx_mode) && status_.stx_rdev_major != kMemoryDevices) ||
                   S_ISBLK(status_.stx_mode);
  bool waits = is_device || (S_ISFIFO(status_.stx_mode) && (flags_ & O_NONBLOCK) == 0);
  may_block_ = waits && (flags_ & O_PATH) == 0;
  return 0;
}

Reply OpenPerformer::OpenPresumed(const std::string& path, const Surroundings& around) const {
  open_how how{.flags = flags_ | O_NONBLOCK | O_CLOEXEC | O_NOCTTY,
               .mode = 0,
               .resolve = RESOLVE_NO_SYMLINKS};
  base::UniqueFd fd(
      static_cast<int>(syscall(SYS_openat2, presumed_root_, path.c_str() + 1, &how, sizeof how)));
  if (!fd.valid()) return errno == ENOENT ? Reply::Error(ENOENT) : Reply::LooksAgain();
  struct statx status{};
  if (statx(fd.get(), "", AT_EMPTY_PATH, kWanted, &status) < 0) return Reply::LooksAgain();
  const bool is_fifo = S_ISFIFO(status.stx_mode);
  const bool is_plain = S_ISREG(status.stx_mode) || S_ISDIR(status.stx_mode) || is_fifo;
  if (!is_plain || IsProc(fd.get(), status) != false) return Reply::LooksAgain();
  // A writer found its reader, else it would not be here.
  const bool waits = is_fifo && (flags_ & (O_ACCMODE | O_NONBLOCK)) == O_RDONLY;
  if (waits && !HasHadWriter(fd.get())) {
    if (!around.may_wait()) return Reply::LooksAgain();
    if (int error = AwaitWriter(fd.get()); error != 0) return Reply::Error(error);
  }
  constexpr std::uint64_t kSettable = O_APPEND | O_DIRECT | O_NOATIME;
  if ((flags_ & O_NONBLOCK) == 0 &&
      fcntl(fd.get(), F_SETFL, static_cast<int>(flags_ & kSettable)) < 0) {
    return Reply::LooksAgain();
  }
  return Reply::Descriptor(std::move(fd), DescriptorFlags());
}

// The supervisor traces the target's processes, so /proc lets it see more of them than they may see
// of each other.
int OpenPerformer::CheckProc(const PinnedPath& pinned, const Surroundings& around) const {
  auto is_proc = IsProc(pinned.object.get(), status_);
  if (!is_proc) return is_proc.error();
  if (!*is_proc) return 0;
  std::string_view path = pinned.path;
  if (!path.starts_with("/proc/")) return EACCES;  // mounted elsewhere: whose it is is not known
  path.remove_prefix(6);
  std::string_view first = path.substr(0, path.find('/'));
  bool is_process =
      !first.empty() && first.find_first_not_of("0123456789") == std::string_view::npos;
  if (!is_process) return 0;
  if (around.same_pid_namespace && first == fmt::format("{}", around.identity.tgid)) return 0;
  if (path == first) return 0;  // the directory
  std::string_view last = path.substr(path.rfind('/') + 1);
  bool reads = (flags_ & O_ACCMODE) == O_RDONLY;
  return reads && IsOpenToAll(last) ? 0 : EACCES;
}

std::optional<abi::Call> OpenPerformer::GivesAsMuchAs(const abi::Call& call) const {
  std::size_t slot = kind_ == Kind::kOpen ? 1 : 2;
  if ((flags_ & O_PATH) == 0 || kind_ == Kind::kOpenAt2) return std::nullopt;
  abi::Call readable = call;
  readable.args[slot] &= ~std::uint64_t{O_PATH};
  return readable;
}

Reply OpenPerformer::Reopen(const PinnedPath& pinned) const {
  const mode_t type = status_.stx_mode & S_IFMT;
  if ((flags_ & O_CREAT) != 0 && (flags_ & O_EXCL) != 0) return Reply::Error(EEXIST);
  if ((flags_ & O_CREAT) != 0 && S_ISDIR(type)) return Reply::Error(EISDIR);
  if ((flags_ & O_DIRECTORY) != 0 && !S_ISDIR(type)) return Reply::Error(ENOTDIR);
  if (S_ISLNK(type) && (flags_ & O_PATH) == 0) return Reply::Error(ELOOP);
  if ((flags_ & O_PATH) != 0) {
    // openat2's flags are in memory: the policy cannot be asked about them in another form.
    if (!S_ISDIR(type) || kind_ == Kind::kOpenAt2) return Reply::Error(EOPNOTSUPP);
    base::UniqueFd directory(openat(pinned.object.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (!directory.valid()) return Reply::Error(errno);
    return Reply::Descriptor(std::move(directory), DescriptorFlags());
  }
  if (S_ISCHR(type) && status_.stx_rdev_major == 5 && status_.stx_rdev_minor == 0) {
    return Reply::Error(ENXIO);
  }
  std::uint64_t flags = flags_ & ~std::uint64_t{O_CREAT | O_EXCL | O_NOFOLLOW};
  base::UniqueFd fd(openat(OwnDescriptors(), DescriptorName(pinned.object.get()).data(),
                           static_cast<int>(flags) | O_CLOEXEC | O_NOCTTY, mode_));
  if (!fd.valid()) return Reply::Error(errno);
  return Reply::Descriptor(std::move(fd), DescriptorFlags());
}

Reply OpenPerformer::Create(const PinnedPath& pinned, mode_t umask_bits) const {
  // The kernel applies the umask only where the directory has no default ACL, so it must be the
  // target's and not be taken off the mode here.
  mode_t own_umask = umask(umask_bits);
  // Somebody may have put a FIFO under the name since it was looked at: that must not hold up the
  // one thread that decides.
  std::uint64_t no_waiting = may_block_ ? 0 : O_NONBLOCK;
  open_how how{.flags = flags_ | no_waiting | O_CLOEXEC | O_NOCTTY,
               .mode = mode_,
               .resolve = RESOLVE_NO_SYMLINKS};
  base::UniqueFd fd(static_cast<int>(
      syscall(SYS_openat2, pinned.parent.get(), pinned.name.c_str(), &how, sizeof how)));
  int error = errno;
  umask(own_umask);
  if (!fd.valid()) return Reply::Error(error);
  if ((flags_ & O_NONBLOCK) == 0 && no_waiting != 0) {
    int flags = fcntl(fd.get(), F_GETFL);
    if (flags < 0 || fcntl(fd.get(), F_SETFL, flags & ~O_NONBLOCK) < 0) return Reply::Error(errno);
  }
  return Reply::Descriptor(std::move(fd), DescriptorFlags());
}

Reply OpenPerformer::Perform(Inputs& inputs, const Surroundings& around) {
  const PinnedPath& pinned = *inputs.Pinned(path_slot_);
  if (Presumes()) return OpenPresumed(pinned.path, around);
  bool creates = (flags_ & O_CREAT) != 0;
  bool walked = pinned.error == 0 || pinned.parent.valid();
  if (creates && walked && pinned.must_be_directory) return Reply::Error(EISDIR);
  if (pinned.error == ENOENT && pinned.parent.valid() && creates) {
    return Create(pinned, around.identity.umask);
  }
  if (pinned.error != 0) return Reply::Error(pinned.error);
  if (int error = CheckProc(pinned, around); error != 0) return Reply::Error(error);
  if (creates && pinned.parent.valid() && !S_ISLNK(status_.stx_mode) &&
      !S_ISDIR(status_.stx_mode)) {
    // By its name in the pinned directory, because only then the kernel asks whether somebody
    // planted it there (fs.protected_regular, fs.protected_fifos).
    return Create(pinned, around.identity.umask);
  }
  if ((flags_ & kTmpFileBit) != 0) {
    mode_t own_umask = umask(around.identity.umask);
    Reply reply = Reopen(pinned);
    umask(own_umask);
    return reply;
  }
  return Reopen(pinned);
}

}  // namespace

std::unique_ptr<Performer> MakeOpenPerformer(std::string_view call) {
  return MakeByRow<OpenPerformer>(kRows, call);
}

}  // namespace callgate::supervise
