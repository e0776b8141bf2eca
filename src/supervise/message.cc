// A message is a tree of pointers: the header leads to an address, to a list of buffers, to those,
// and to control data in which there are descriptors. All of it is copied once, top down, and each
// descriptor is duplicated; what is sent is the copy.
//
// Data that cannot be read is the last thing the kernel finds out, after what is wrong with the
// socket and the address. So that is no error here: it is sent from where we cannot read either.
//
// Control data means something to some protocols only. Those whose control data hold addresses in
// the sender's memory (AF_RDS) would read ours instead, so control data is passed on for the
// families of kFamilies alone.

#include "supervise/message.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <limits>
#include <span>
#include <string>

#include "supervise/copy.h"

namespace callgate::supervise {
namespace {

constexpr std::size_t kMaxBuffers = 1024;       // UIO_MAXIOV
constexpr std::size_t kMaxPassed = 253;         // SCM_MAX_FD
constexpr std::size_t kMaxControl = 1U << 20U;  // net.core.optmem_max is less
constexpr std::size_t kNameAt = offsetof(sockaddr_un, sun_path);
constexpr std::array kFamilies{AF_UNIX,   AF_INET,  AF_INET6, AF_NETLINK,
                               AF_PACKET, AF_VSOCK, AF_ALG,   AF_CAN};

std::size_t Aligned(std::size_t size) { return (size + 7) & ~std::size_t{7}; }

template <typename Value>
Value ValueAt(std::span<const std::byte> bytes, std::size_t offset) {
  Value value{};
  std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

bool Has(const Identity& identity, unsigned capability) {
  return (identity.credentials.effective_capabilities >> capability & 1U) != 0;
}

// scm_check_creds, net/core/scm.c: may the caller say that it is this one?
int CheckCredentials(const ucred& said, const Surroundings& around) {
  const Credentials& real = around.identity.credentials;
  auto is_own = [](const auto& ids, auto id) {
    return std::find(ids.begin(), ids.begin() + 3, id) != ids.begin() + 3;
  };
  constexpr auto kNobody = static_cast<uid_t>(-1);
  if (said.uid == kNobody || said.gid == kNobody) return EINVAL;
  // In another pid namespace the numbers mean other processes.
  bool is_self = around.same_pid_namespace && said.pid == around.identity.tgid;
  if (!is_self && !(around.same_pid_namespace && Has(around.identity, CAP_SYS_ADMIN))) return EPERM;
  if (!is_own(real.uids, said.uid) && !Has(around.identity, CAP_SETUID)) return EPERM;
  if (!is_own(real.gids, said.gid) && !Has(around.identity, CAP_SETGID)) return EPERM;
  return 0;
}

// Takes the place of each descriptor in one SCM_RIGHTS.
int PassDescriptors(Inputs& inputs, std::span<std::byte> numbers, OutgoingMessage& message) {
  for (std::size_t at = 0; at + sizeof(int) <= numbers.size(); at += sizeof(int)) {
    if (message.passed.size() == kMaxPassed) return EINVAL;
    auto fd = inputs.Duplicate(ValueAt<int>(numbers, at));
    if (!fd) return fd.error();
    int own = fd->get();
    std::memcpy(numbers.data() + at, &own, sizeof own);
    message.passed.push_back(std::move(*fd));
  }
  return 0;
}

int CopyControl(Inputs& inputs, const Surroundings& around, const SendingSocket& socket,
                std::uint64_t address, std::uint64_t size, OutgoingMessage& message) {
  if (size == 0) return 0;
  if (size > kMaxControl) return ENOBUFS;
  if (std::ranges::find(kFamilies, socket.domain) == kFamilies.end()) return EOPNOTSUPP;
  auto copied = inputs.Copy(address, size);
  if (!copied) return copied.error();
  message.control = std::move(*copied);
  std::span<std::byte> control(message.control);
  static_assert(sizeof(cmsghdr) == 16);
  std::size_t at = 0;
  while (at + sizeof(cmsghdr) <= control.size()) {
    auto head = ValueAt<cmsghdr>(control, at);
    if (head.cmsg_len < sizeof head || head.cmsg_len > control.size() - at) {
      // Others may not look at it at all.
      return socket.domain == AF_UNIX ? EINVAL : 0;
    }
    std::span<std::byte> body = control.subspan(at + sizeof head, head.cmsg_len - sizeof head);
    bool is_ours = head.cmsg_level == SOL_SOCKET;
    if (is_ours && head.cmsg_type == SCM_RIGHTS && socket.domain == AF_UNIX) {
      if (int error = PassDescriptors(inputs, body, message); error != 0) return error;
    } else if (is_ours && head.cmsg_type == SCM_RIGHTS) {
      // Means nothing to others; the numbers would be ours.
      std::ranges::fill(body, std::byte{0xff});
    } else if (is_ours && head.cmsg_type == SCM_CREDENTIALS && socket.domain == AF_UNIX) {
      if (body.size() != sizeof(ucred)) return EINVAL;
      auto said = ValueAt<ucred>(body, 0);
      if (int error = CheckCredentials(said, around); error != 0) return error;
      // A process id that is not one's own can be said from the first user namespace alone.
      if (around.is_elsewhere && said.pid == around.identity.tgid) {
        said.pid = getpid();
        std::memcpy(body.data(), &said, sizeof said);
      }
      message.sender = said;
    }
    at += Aligned(head.cmsg_len);
  }
  // What is behind the last is too short for another.
  message.control.resize(std::min(at, control.size()));
  return 0;
}

// An AF_UNIX address can name a file. Connected sockets do not look at it.
int PinAddress(Inputs& inputs, const Surroundings& around, const SendingSocket& socket,
               std::size_t key, OutgoingMessage& message) {
  const std::vector<std::byte>& address = message.seen.address;
  if (socket.domain != AF_UNIX || socket.type != SOCK_DGRAM) return 0;
  if (address.size() <= kNameAt || address.size() > sizeof(sockaddr_un) ||
      ValueAt<std::uint16_t>(address, 0) != AF_UNIX || address[kNameAt] == std::byte{}) {
    return 0;
  }
  std::string path(reinterpret_cast<const char*>(address.data()) + kNameAt,
                   address.size() - kNameAt);
  path.resize(std::min(path.size(), path.find('\0')));
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace, path, AT_FDCWD);
  if (!places) return places.error();
  auto pinned = inputs.PinText(key, path, *places, Follow::kAll);
  if (!pinned) return pinned.error();
  message.seen.file = *pinned;
  return 0;
}

// The kernel takes an address without a family for one of AF_INET, and does not ask an AF_PACKET
// address for its family. The policy would be asked about an address that has no port, and another
// would be sent to.
bool IsOfFamily(const SendingSocket& socket, const std::vector<std::byte>& address) {
  if (address.size() < sizeof(std::uint16_t) || socket.type == SOCK_STREAM) return true;
  auto family = ValueAt<std::uint16_t>(address, 0);
  if (socket.domain == AF_PACKET) return family == AF_PACKET;
  return family != AF_UNSPEC || (socket.domain != AF_INET && socket.domain != AF_INET6);
}

// Copies as much as there is room for. False: no more can be sent.
kernel::SysResult<bool> CopyBuffer(Inputs& inputs, std::uint64_t address, std::uint64_t size,
                                   std::size_t room, OutgoingMessage& message) {
  std::size_t part = std::min<std::uint64_t>(size, room - message.data.size());
  message.is_cut = part < size;
  auto bytes = inputs.Copy(address, part);
  if (!bytes && bytes.error() != EFAULT) return std::unexpected(bytes.error());
  if (!bytes) message.unreadable = part;
  if (bytes) message.data.insert(message.data.end(), bytes->begin(), bytes->end());
  return bytes && !message.is_cut;
}

int CopyBuffers(Inputs& inputs, std::uint64_t list, std::uint64_t count, std::size_t room,
                OutgoingMessage& message) {
  if (count > kMaxBuffers) return EMSGSIZE;
  auto bytes = inputs.Copy(list, count * sizeof(iovec));
  if (!bytes) return bytes.error();
  std::vector<iovec> buffers(count);
  if (count != 0) std::memcpy(buffers.data(), bytes->data(), bytes->size());
  for (const iovec& buffer : buffers) {
    if (buffer.iov_len > std::numeric_limits<std::int64_t>::max()) return EINVAL;
  }
  for (const iovec& buffer : buffers) {
    if (buffer.iov_len == 0) continue;
    auto more = CopyBuffer(inputs, reinterpret_cast<std::uint64_t>(buffer.iov_base), buffer.iov_len,
                           room, message);
    if (!more) return more.error();
    if (!*more) break;
  }
  return 0;
}

}  // namespace

kernel::SysResult<OutgoingMessage> CopyMessage(Inputs& inputs, const Surroundings& around,
                                               const SendingSocket& socket, std::uint64_t header,
                                               std::size_t room, std::size_t key) {
  static_assert(sizeof(msghdr) == 56);
  auto bytes = inputs.Copy(header, sizeof(msghdr));
  if (!bytes) return std::unexpected(bytes.error());
  OutgoingMessage message;
  auto head = ValueAt<msghdr>(*bytes, 0);
  message.seen.header = std::move(*bytes);
  auto length = static_cast<std::int32_t>(head.msg_namelen);
  if (length < 0) return std::unexpected(EINVAL);
  if (head.msg_name != nullptr && length > 0) {
    auto size = std::min<std::size_t>(static_cast<std::size_t>(length), sizeof(sockaddr_storage));
    auto address = inputs.Copy(reinterpret_cast<std::uint64_t>(head.msg_name), size);
    if (!address) return std::unexpected(address.error());
    message.seen.address = std::move(*address);
  }
  if (!IsOfFamily(socket, message.seen.address)) return std::unexpected(EAFNOSUPPORT);
  int error = CopyBuffers(inputs, reinterpret_cast<std::uint64_t>(head.msg_iov), head.msg_iovlen,
                          room, message);
  if (error == 0) {
    error = CopyControl(inputs, around, socket, reinterpret_cast<std::uint64_t>(head.msg_control),
                        head.msg_controllen, message);
  }
  if (error == 0) error = PinAddress(inputs, around, socket, key, message);
  if (error != 0) return std::unexpected(error);
  return message;
}

kernel::SysResult<OutgoingMessage> CopyPlainMessage(Inputs& inputs, const Surroundings& around,
                                                    const SendingSocket& socket, std::uint64_t data,
                                                    std::uint64_t size,
                                                    std::vector<std::byte> address,
                                                    std::size_t key) {
  OutgoingMessage message;
  message.seen.address = std::move(address);
  if (!IsOfFamily(socket, message.seen.address)) return std::unexpected(EAFNOSUPPORT);
  auto more = CopyBuffer(inputs, data, size, kMaxSent, message);
  if (!more) return std::unexpected(more.error());
  int error = PinAddress(inputs, around, socket, key, message);
  if (error != 0) return std::unexpected(error);
  return message;
}

void AppendCredentials(std::vector<std::byte>& control, const ucred& sender) {
  const cmsghdr head{.cmsg_len = sizeof(cmsghdr) + sizeof sender,
                     .cmsg_level = SOL_SOCKET,
                     .cmsg_type = SCM_CREDENTIALS};
  std::size_t at = Aligned(control.size());
  control.resize(at + Aligned(sizeof head + sizeof sender));
  std::memcpy(control.data() + at, &head, sizeof head);
  std::memcpy(control.data() + at + sizeof head, &sender, sizeof sender);
}

}  // namespace callgate::supervise
