#include "supervise/inputs.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "fmt/format.h"
#include "supervise/borrow.h"
#include "supervise/copy.h"
#include "supervise/refusal.h"

namespace callgate::supervise {
namespace {

// A structure that is larger than this has fields no policy can name.
constexpr std::size_t kMaxStructure = 4096;  // PAGE_SIZE, as copy_struct_from_user allows

template <typename Value>
std::optional<Value> ValueAt(const std::vector<std::byte>& bytes, std::size_t offset) {
  Value value{};
  if (offset + sizeof value > bytes.size()) return std::nullopt;
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

// As a policy names it. `name`: the kernel's, which tells the kinds of anonymous files apart;
// several of those say that they are regular files.
std::string_view FileTypeOf(mode_t mode, std::string_view name) {
  if (name == "anon_inode:[eventpoll]") return "epoll";
  if (name == "anon_inode:[eventfd]") return "eventfd";
  if (S_ISSOCK(mode)) return "socket";
  if (S_ISFIFO(mode)) return "pipe";
  if (!name.starts_with('/')) return "other";
  if (S_ISREG(mode)) return "file";
  if (S_ISDIR(mode)) return "directory";
  if (S_ISLNK(mode)) return "symlink";
  if (S_ISCHR(mode)) return "char";
  return S_ISBLK(mode) ? "block" : "other";
}

// nullptr: not copied yet.
template <typename Copied>
Copied* Find(std::vector<std::pair<std::size_t, Copied>>& copies, std::size_t slot) {
  auto found = std::ranges::find(copies, slot, &std::pair<std::size_t, Copied>::first);
  return found == copies.end() ? nullptr : &found->second;
}

template <typename Copied>
void Set(std::vector<std::pair<std::size_t, Copied>>& copies, std::size_t slot, Copied copied) {
  if (Copied* known = Find(copies, slot)) {
    *known = std::move(copied);
  } else {
    copies.emplace_back(slot, std::move(copied));
  }
}

}  // namespace

kernel::SysResult<std::string> Inputs::String(std::size_t slot, std::size_t limit) {
  if (const auto* known = Find(strings_, slot)) return *known;
  auto copied = CopyString(kernel_, tid(), Register(slot), limit);
  if (copied) strings_.emplace_back(slot, *copied);
  return copied;
}

kernel::SysResult<std::vector<std::byte>> Inputs::Bytes(std::size_t slot, std::size_t size) {
  if (const auto* known = Find(bytes_, slot)) {
    // To read on would be a second look.
    if (known->size() < size) return std::unexpected(ESRCH);
    return *known;
  }
  auto copied = Copy(Register(slot), size);
  if (copied) bytes_.emplace_back(slot, *copied);
  return copied;
}

void Inputs::SetString(std::size_t slot, std::string text) { Set(strings_, slot, std::move(text)); }

void Inputs::SetBytes(std::size_t slot, std::vector<std::byte> bytes) {
  Set(bytes_, slot, std::move(bytes));
}

std::vector<std::byte> Inputs::CopiedAt(std::uint64_t address, std::size_t size) const {
  std::vector<std::byte> found;
  for (const auto& [slot, text] : strings_) {
    if (Register(slot) != address) continue;
    auto bytes = std::as_bytes(std::span(text.c_str(), text.size() + 1));
    found.assign(bytes.begin(), bytes.end());
  }
  for (const auto& [slot, bytes] : bytes_) {
    if (Register(slot) == address) found = bytes;
  }
  found.resize(std::min(found.size(), size));
  return found;
}

kernel::SysResult<std::vector<std::byte>> Inputs::Copy(std::uint64_t address, std::size_t size) {
  return CopyBytes(kernel_, tid(), address, size);
}

kernel::SysResult<std::string> Inputs::Text(std::uint64_t address, std::size_t limit) {
  return CopyString(kernel_, tid(), address, limit);
}

kernel::SysResult<std::vector<std::string>> Inputs::Strings(std::size_t slot) {
  if (const auto* known = Find(vectors_, slot)) return *known;
  auto copied = CopyStrings(kernel_, tid(), Register(slot));
  if (copied) vectors_.emplace_back(slot, *copied);
  return copied;
}

kernel::SysResult<policy::DeepValue> LookAtStrings(const policy::DeepSubject& subject,
                                                   const std::vector<std::string>& strings) {
  using Kind = policy::DeepSubject::Kind;
  if (subject.kind != Kind::kVariable) {
    // The kernel makes one empty argument of none.
    std::size_t count = std::max<std::size_t>(strings.size(), 1);
    if (subject.kind == Kind::kCount) return std::uint64_t{count};
    if (subject.offset >= count) return policy::Absent{};
    return strings.empty() ? std::string() : strings[subject.offset];
  }
  policy::DeepValue value = policy::Absent{};
  std::string start = subject.key + "=";
  for (const std::string& variable : strings) {
    if (!variable.starts_with(start)) continue;
    if (!std::holds_alternative<policy::Absent>(value)) return std::unexpected(EINVAL);
    value = variable.substr(start.size());
  }
  return value;
}

kernel::SysResult<PinnedPath*> Inputs::Pin(std::size_t slot, const Places& places, Follow follow,
                                           Needs needs) {
  auto text = String(slot, kMaxPath);
  if (!text) return std::unexpected(text.error());
  if (text->empty()) return std::unexpected(ENOENT);
  return PinText(slot, *text, places, follow, needs);
}

kernel::SysResult<PinnedPath*> Inputs::PinText(std::size_t slot, const std::string& text,
                                               const Places& places, Follow follow, Needs needs) {
  BorrowedIdentity as_target(own_, walking_);
  if (as_target.error() != 0) return std::unexpected(ESRCH);
  auto pinned = ResolvePath(places, text, follow, needs);
  if (!pinned) return std::unexpected(pinned.error());
  SetPinned(slot, std::move(*pinned));
  return Pinned(slot);
}

int Inputs::ErrnoOf(const std::function<long()>& call) {
  BorrowedIdentity as_target(own_, walking_);
  if (as_target.error() != 0) return ESRCH;
  return call() < 0 ? errno : 0;
}

kernel::SysResult<base::UniqueFd> Inputs::Duplicate(int target_fd) {
  if (!pidfd_.valid()) {
    auto pidfd = kernel_.OpenThreadPidfd(tid());
    // Before Linux 6.9 only a process can be asked, and that has its first thread's table.
    if (!pidfd && pidfd.error() == EINVAL) pidfd = kernel_.OpenPidfd(tid());
    if (!pidfd) return std::unexpected(ESRCH);
    pidfd_ = std::move(*pidfd);
  }
  auto fd = kernel_.TakeDescriptor(pidfd_.get(), target_fd);
  if (!fd) return std::unexpected(fd.error() == EPERM ? ESRCH : fd.error());
  return fd;
}

kernel::SysResult<int> Inputs::Descriptor(std::size_t slot) {
  if (const auto* known = Find(descriptors_, slot)) return known->get();
  auto fd = Duplicate(static_cast<int>(Register(slot)));
  if (!fd) return std::unexpected(fd.error());
  return descriptors_.emplace_back(slot, std::move(*fd)).second.get();
}

kernel::SysResult<void> Inputs::Write(std::uint64_t address, std::span<const std::byte> bytes) {
  auto written = kernel_.WriteMemory(tid(), address, bytes);
  if (!written) return std::unexpected(written.error());
  if (*written < bytes.size()) return std::unexpected(EFAULT);
  return {};
}

std::vector<Inputs::Known> Inputs::KnownTexts(policy::DeepSubject::Kind kind) const {
  std::vector<Known> known;
  if (kind == policy::DeepSubject::Kind::kPath) {
    for (const auto& [slot, pinned] : pinned_) known.push_back({slot, pinned.path});
  } else {
    for (const auto& [slot, text] : strings_) {
      auto pinned = pinned_.find(slot);
      known.push_back({slot, pinned == pinned_.end() ? text : pinned->second.path});
    }
  }
  return known;
}

PinnedPath* Inputs::Pinned(std::size_t slot) {
  auto found = pinned_.find(slot);
  return found == pinned_.end() ? nullptr : &found->second;
}

void Inputs::SetPinned(std::size_t slot, PinnedPath pinned) {
  pinned_.insert_or_assign(slot, std::move(pinned));
}

policy::DeepValue Inputs::LookAtField(const policy::DeepSubject& subject) {
  kernel::SysResult<std::vector<std::byte>> bytes;
  if (subject.in_message) {
    if (message_ == nullptr) return Fail(ESRCH);
    bytes = message_->header;
  } else {
    // Some calls may do without the structure. The others fail by themselves.
    if (Register(subject.slot) == 0) return policy::Absent{};
    std::size_t size = subject.whole;
    if (subject.size_slot >= 0) {
      // An extensible structure: the caller says how much there is, what is beyond is zero. What a
      // performer has copied of it is all that counts.
      size = Register(static_cast<std::size_t>(subject.size_slot));
      if (const auto* copied = Find(bytes_, subject.slot)) size = copied->size();
      if (size > kMaxStructure) return Fail(E2BIG);
    }
    bytes = Bytes(subject.slot, size);
  }
  if (!bytes) return Fail(bytes.error());
  std::uint64_t value = 0;
  if (subject.offset < bytes->size()) {
    std::size_t there = std::min<std::size_t>(subject.size, bytes->size() - subject.offset);
    std::memcpy(&value, bytes->data() + subject.offset, std::min(there, sizeof value));
  }
  return value;
}

policy::DeepValue Inputs::LookAtAddress(const policy::DeepSubject& subject) {
  using Kind = policy::DeepSubject::Kind;
  kernel::SysResult<std::vector<std::byte>> bytes;
  if (subject.in_message) {
    if (message_ == nullptr) return Fail(ESRCH);
    bytes = message_->address;
  } else {
    auto size = static_cast<std::int32_t>(Register(static_cast<std::size_t>(subject.size_slot)));
    if (size < 0 || static_cast<std::size_t>(size) > sizeof(sockaddr_storage)) return Fail(EINVAL);
    bytes = Bytes(subject.slot, static_cast<std::size_t>(size));
  }
  if (!bytes) return Fail(bytes.error());
  auto family = ValueAt<std::uint16_t>(*bytes, 0);
  if (!family) return policy::Absent{};
  auto port = ValueAt<std::uint16_t>(*bytes, offsetof(sockaddr_in, sin_port));
  static_assert(offsetof(sockaddr_in, sin_port) == offsetof(sockaddr_in6, sin6_port));
  bool is_ip = (*family == AF_INET && bytes->size() >= sizeof(sockaddr_in)) ||
               (*family == AF_INET6 && bytes->size() >= offsetof(sockaddr_in6, sin6_scope_id));
  switch (subject.kind) {
    case Kind::kFamily:
      return std::uint64_t{*family};
    case Kind::kPort:
      if (is_ip) return std::uint64_t{ntohs(*port)};
      return policy::Absent{};
    case Kind::kIp: {
      if (!is_ip) return policy::Absent{};
      if (*family == AF_INET) {
        return policy::MappedIpv4(
            *ValueAt<std::array<std::uint8_t, 4>>(*bytes, offsetof(sockaddr_in, sin_addr)));
      }
      return *ValueAt<policy::IpAddress>(*bytes, offsetof(sockaddr_in6, sin6_addr));
    }
    case Kind::kAbstract: {
      constexpr std::size_t kName = offsetof(sockaddr_un, sun_path);
      if (*family != AF_UNIX || bytes->size() <= kName) return policy::Absent{};
      std::string name(reinterpret_cast<const char*>(bytes->data()) + kName, bytes->size() - kName);
      if (name.front() != '\0') return policy::Absent{};
      return name.substr(1);
    }
    case Kind::kUnixPath:
    case Kind::kPath:
    case Kind::kString:
    case Kind::kField:
    case Kind::kDescriptor:
    case Kind::kFileType:
    case Kind::kElement:
    case Kind::kCount:
    case Kind::kVariable:
      break;
  }
  return Fail(ESRCH);
}

policy::DeepValue Inputs::LookAtOpenFile(const policy::DeepSubject& subject) {
  auto fd = Descriptor(subject.slot);
  // A number that stands for no open file has neither path nor type.
  if (!fd && fd.error() == EBADF) return policy::Absent{};
  if (!fd) return Fail(fd.error());
  base::UniqueFd root(
      open(fmt::format("/proc/{}/root", tid()).c_str(), O_PATH | O_DIRECTORY | O_CLOEXEC));
  if (!root.valid()) return Fail(errno == ENOENT ? ESRCH : errno);
  if (must_have_our_root_ && !IsOurRoot(root.get())) return Fail(kOtherRoot);
  auto name = NameInRoot(root.get(), *fd);
  if (!name) return Fail(name.error());
  if (subject.kind == policy::DeepSubject::Kind::kDescriptor) return std::move(*name);
  struct stat status{};
  if (fstat(*fd, &status) < 0) return Fail(errno);
  return std::string(FileTypeOf(status.st_mode, *name));
}

policy::DeepValue Inputs::Look(const policy::DeepSubject& subject) {
  if (elsewhere_) {
    auto value = elsewhere_(subject);
    return value ? std::move(*value) : Fail(value.error());
  }
  using Kind = policy::DeepSubject::Kind;
  switch (subject.kind) {
    case Kind::kPath:
    case Kind::kUnixPath:
      if (subject.in_message) {
        if (message_ == nullptr) return Fail(ESRCH);
        if (message_->file == nullptr) return policy::Absent{};
        return message_->file->path;
      }
      if (const PinnedPath* pinned = Pinned(subject.slot)) return pinned->path;
      if (subject.kind == Kind::kUnixPath) return policy::Absent{};
      return Fail(ESRCH);
    case Kind::kString: {
      // A text that is a path for this call (the source of a bind mount).
      if (const PinnedPath* pinned = Pinned(subject.slot)) return pinned->path;
      if (Register(subject.slot) == 0) return policy::Absent{};
      auto text = String(subject.slot, kMaxPath);
      if (!text) return Fail(text.error());
      return std::move(*text);
    }
    case Kind::kField:
      return LookAtField(subject);
    case Kind::kFamily:
    case Kind::kPort:
    case Kind::kIp:
    case Kind::kAbstract:
      return LookAtAddress(subject);
    case Kind::kElement:
    case Kind::kCount:
    case Kind::kVariable: {
      auto strings = Strings(subject.slot);
      if (!strings) return Fail(strings.error());
      auto value = LookAtStrings(subject, *strings);
      if (!value) return Fail(value.error());
      return *value;
    }
    case Kind::kDescriptor:
    case Kind::kFileType:
      return LookAtOpenFile(subject);
  }
  return Fail(ESRCH);
}

namespace {

// runc opens the FIFO that starts a container by such a name, under the container's filter.
base::UniqueFd OwnDescriptorOf(pid_t tid, std::string_view path) {
  for (std::string_view folder : {"/proc/self/fd/", "/proc/thread-self/fd/"}) {
    if (!path.starts_with(folder)) continue;
    const std::string_view number = path.substr(folder.size());
    if (number.empty() || number.find_first_not_of("0123456789") != std::string_view::npos) break;
    return base::UniqueFd(
        open(fmt::format("/proc/{}/fd/{}", tid, number).c_str(), O_PATH | O_CLOEXEC));
  }
  return base::UniqueFd();
}

}  // namespace

kernel::SysResult<Places> PlacesOf(pid_t tid, const Identity& identity, bool same_pid_namespace,
                                   const std::string& path, int dirfd) {
  constexpr int kFlags = O_PATH | O_CLOEXEC;
  Places places;
  places.our_root = identity.our_root;
  if (places.our_root < 0) {
    places.root.Reset(open(fmt::format("/proc/{}/root", tid).c_str(), kFlags));
    if (!places.root.valid()) return std::unexpected(errno == ENOENT ? ESRCH : errno);
    if (identity.must_have_our_root && !IsOurRoot(places.root.get())) {
      return std::unexpected(kOtherRoot);
    }
  }
  if (!path.starts_with('/')) {
    if (dirfd != AT_FDCWD && dirfd < 0) return std::unexpected(EBADF);
    std::string start = dirfd == AT_FDCWD ? fmt::format("/proc/{}/cwd", tid)
                                          : fmt::format("/proc/{}/fd/{}", tid, dirfd);
    places.start.Reset(open(start.c_str(), kFlags));
    if (!places.start.valid()) return std::unexpected(errno == ENOENT ? EBADF : errno);
  }
  if (same_pid_namespace) {
    places.tgid = identity.tgid;
    places.tid = tid;
  } else {
    places.own_descriptor = OwnDescriptorOf(tid, path);
  }
  return places;
}

}  // namespace callgate::supervise
