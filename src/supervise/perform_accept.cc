// accept and accept4, listen, shutdown: calls on our duplicate of the caller's socket that are
// decided by what the socket is.
//
// A connection that is accepted for the caller is its own: the kernel opens it with the caller's
// ids (borrow.h), and puts it into the caller's table in one step with the answer. If that cannot
// be done the connection is closed, as the kernel closes it when the address cannot be written.

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

enum class What : std::uint8_t { kAccept, kListen, kShutdown };

struct Row {
  std::string_view call;
  What what;
  bool has_flags = false;
};
constexpr std::array<Row, 4> kRows{{{.call = "accept", .what = What::kAccept},
                                    {.call = "accept4", .what = What::kAccept, .has_flags = true},
                                    {.call = "listen", .what = What::kListen},
                                    {.call = "shutdown", .what = What::kShutdown}}};

class AcceptPerformer final : public Performer {
 public:
  explicit AcceptPerformer(const Row& row) : row_(row) {}

  int Prepare(Inputs& inputs, const Surroundings& around) override;
  bool MayBlock() const override { return may_block_; }
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  Reply Accept(const Inputs& inputs) const;

  const Row& row_;
  int fd_ = -1;
  int flags_ = 0;
  bool may_block_ = false;
  std::optional<std::int32_t> room_;  // for the address; nullopt: it cannot be read
};

int AcceptPerformer::Prepare(Inputs& inputs, const Surroundings&) {
  if (row_.has_flags) flags_ = static_cast<int>(inputs.Register(3));
  auto fd = inputs.Descriptor(0);
  if (!fd) return fd.error();
  fd_ = *fd;
  int mode = fcntl(fd_, F_GETFL);
  struct stat status{};
  if (fstat(fd_, &status) < 0 || mode < 0) return errno;
  if ((mode & O_PATH) != 0) return EBADF;
  if ((flags_ & ~(SOCK_CLOEXEC | SOCK_NONBLOCK)) != 0) return EINVAL;
  if (!S_ISSOCK(status.st_mode)) return ENOTSOCK;
  if (row_.what != What::kAccept) return 0;
  may_block_ = (mode & O_NONBLOCK) == 0;
  if (inputs.Register(1) == 0) return 0;
  // The kernel looks at this when there is a connection, so a mistake costs the caller that.
  auto room = inputs.Bytes(2, sizeof(std::int32_t));
  if (!room && room.error() != EFAULT) return room.error();
  if (room) std::memcpy(&room_.emplace(), room->data(), sizeof(std::int32_t));
  return 0;
}

Reply AcceptPerformer::Accept(const Inputs& inputs) const {
  sockaddr_storage address{};
  socklen_t size = sizeof address;
  base::UniqueFd connection(
      accept4(fd_, reinterpret_cast<sockaddr*>(&address), &size, flags_ | SOCK_CLOEXEC));
  if (!connection.valid()) return Reply::Error(errno);
  Reply reply =
      Reply::Descriptor(std::move(connection), (flags_ & SOCK_CLOEXEC) != 0 ? O_CLOEXEC : 0);
  if (inputs.Register(1) == 0) return reply;
  if (!room_) return Reply::Error(EFAULT);
  if (*room_ < 0) return Reply::Error(EINVAL);
  auto part = std::min<std::size_t>(static_cast<std::size_t>(*room_), size);
  reply.AddOutput(inputs.Register(1), std::as_bytes(std::span(&address, 1)).first(part));
  reply.AddOutput(inputs.Register(2), std::as_bytes(std::span(&size, 1)));
  return reply;
}

Reply AcceptPerformer::Perform(Inputs& inputs, const Surroundings&) {
  auto number = static_cast<int>(inputs.Register(1));
  int result = -1;
  switch (row_.what) {
    case What::kAccept:
      return Accept(inputs);
    case What::kListen:
      result = listen(fd_, number);
      break;
    case What::kShutdown:
      result = shutdown(fd_, number);
      break;
  }
  return result < 0 ? Reply::Error(errno) : Reply::Value(0);
}

}  // namespace

std::unique_ptr<Performer> MakeAcceptPerformer(std::string_view call) {
  return MakeByRow<AcceptPerformer>(kRows, call);
}

}  // namespace callgate::supervise
