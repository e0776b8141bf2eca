// connect and bind, on our duplicate of the caller's socket: the socket that was looked at is the
// one that is acted on, whatever the caller's descriptor means by then. The address is copied once.
//
// An AF_UNIX address with a path names a file. connect reaches the pinned file through
// /proc/self/fd. bind makes a name: it is made from the pinned directory, so getsockname(2) later
// gives the last component alone. The other side of an AF_UNIX connection sees the caller's ids
// (SO_PEERCRED), because this thread has them, with the supervisor's process id.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

constexpr std::size_t kSocket = 0;
constexpr std::size_t kAddress = 1;
constexpr std::size_t kLength = 2;
constexpr std::size_t kNameAt = offsetof(sockaddr_un, sun_path);

struct Row {
  std::string_view call;
  bool binds;
};
constexpr std::array<Row, 2> kRows{{{"bind", true}, {"connect", false}}};

class SocketPerformer final : public Performer {
 public:
  explicit SocketPerformer(const Row& row) : binds_(row.binds) {}

  int Prepare(Inputs& inputs, const Surroundings& around) override;
  bool MayBlock() const override { return may_block_; }
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  int PreparePath(Inputs& inputs, const Surroundings& around);
  Reply BindName(const PinnedPath& pinned, mode_t umask_bits) const;
  Reply Act(const void* address, std::size_t size) const;

  bool binds_;
  int socket_ = -1;
  std::vector<std::byte> address_;
  bool has_path_ = false;
  bool may_block_ = false;
};

int SocketPerformer::PreparePath(Inputs& inputs, const Surroundings& around) {
  std::string path(reinterpret_cast<const char*>(address_.data()) + kNameAt,
                   address_.size() - kNameAt);
  path.resize(std::min(path.size(), path.find('\0')));
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace, path, AT_FDCWD);
  if (!places) return places.error();
  auto pinned = inputs.PinText(kAddress, path, *places, binds_ ? Follow::kParent : Follow::kAll);
  if (!pinned) return pinned.error();
  has_path_ = true;
  return 0;
}

int SocketPerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  auto socket = inputs.Descriptor(kSocket);
  if (!socket) return socket.error();
  socket_ = *socket;
  struct stat status{};
  if (fstat(socket_, &status) < 0) return errno;
  if (!S_ISSOCK(status.st_mode)) return ENOTSOCK;
  auto size = static_cast<std::int32_t>(inputs.Register(kLength));
  if (size < 0 || static_cast<std::size_t>(size) > sizeof(sockaddr_storage)) return EINVAL;
  auto bytes = inputs.Bytes(kAddress, static_cast<std::size_t>(size));
  if (!bytes) return bytes.error();
  address_ = std::move(*bytes);
  may_block_ = !binds_ && (fcntl(socket_, F_GETFL) & O_NONBLOCK) == 0;
  std::uint16_t family = 0;
  if (address_.size() < sizeof family) return 0;  // the kernel says what is wrong with it
  std::memcpy(&family, address_.data(), sizeof family);
  // The kernel can take it for AF_INET, with a port that the policy was not asked about.
  if (binds_ && family == AF_UNSPEC) return EAFNOSUPPORT;
  bool is_named = family == AF_UNIX && address_.size() > kNameAt &&
                  address_.size() <= sizeof(sockaddr_un) && address_[kNameAt] != std::byte{};
  // The socket's own family is what counts: an AF_UNIX address on another is refused by it.
  return is_named ? PreparePath(inputs, around) : 0;
}

Reply SocketPerformer::Act(const void* address, std::size_t size) const {
  const auto* raw = static_cast<const sockaddr*>(address);
  auto length = static_cast<socklen_t>(size);
  int result = binds_ ? bind(socket_, raw, length) : connect(socket_, raw, length);
  return result < 0 ? Reply::Error(errno) : Reply::Value(0);
}

Reply SocketPerformer::BindName(const PinnedPath& pinned, mode_t umask_bits) const {
  sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
  if (pinned.name.size() > sizeof name.sun_path) return Reply::Error(ENAMETOOLONG);
  std::memcpy(name.sun_path, pinned.name.data(), pinned.name.size());
  // This thread has a working directory and a umask of its own.
  if (fchdir(pinned.parent.get()) < 0) return Reply::Error(errno);
  mode_t own_umask = umask(umask_bits);
  Reply reply = Act(
      &name, kNameAt + pinned.name.size() + (pinned.name.size() < sizeof name.sun_path ? 1U : 0U));
  umask(own_umask);
  if (chdir("/") < 0) return Reply::Error(EPERM);
  return reply;
}

Reply SocketPerformer::Perform(Inputs& inputs, const Surroundings& around) {
  if (!has_path_) return Act(address_.data(), address_.size());
  const PinnedPath& pinned = *inputs.Pinned(kAddress);
  if (pinned.error != 0) return Reply::Error(pinned.error);
  if (binds_) return BindName(pinned, around.identity.umask);
  sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
  std::string file = fmt::format("/proc/self/fd/{}", pinned.object.get());
  std::memcpy(name.sun_path, file.data(), file.size());
  return Act(&name, sizeof name);
}

}  // namespace

std::unique_ptr<Performer> MakeSocketPerformer(std::string_view call) {
  return MakeByRow<SocketPerformer>(kRows, call);
}

}  // namespace callgate::supervise
