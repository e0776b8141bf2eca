// sendto, sendmsg, sendmmsg, on our duplicate of the caller's socket.
//
// The messages are copied (message.cc), each is decided, and the copies are sent. One that may not
// be sent refuses the whole call before anything is sent.
//
// A send is tried without waiting first, because most need not wait; only one that must gives up
// its turn (Surroundings::may_wait). A stream that took a part then gets the rest.
//
// Who sends. The receiver of an AF_UNIX message can ask for the sender's ids (SO_PASSCRED), and
// those would be ours: the kernel takes the real ids, which stay the supervisor's when it acts as
// another (borrow.h). So a message says who sends it wherever the supervisor has the right to say
// so, and without that right acts only for callers of its own user; then the process id is its own.
//
// MSG_NOSIGNAL is always set: a SIGPIPE is the caller's, not ours.

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "fmt/format.h"
#include "supervise/borrow.h"
#include "supervise/message.h"
#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

constexpr std::size_t kMaxMessages = 1024;  // UIO_MAXIOV: sendmmsg takes no more, and says nothing
constexpr std::uint32_t kCompatControl = 0x80000000;  // MSG_CMSG_COMPAT: not from outside
constexpr std::uint64_t kSayWho = 1ULL << CAP_SYS_ADMIN | 1ULL << CAP_SETUID | 1ULL << CAP_SETGID;

// Below what can be mapped (vm.mmap_min_addr).
const auto* const kNowhere = reinterpret_cast<const std::byte*>(8);

enum class Form : std::uint8_t { kPlain, kMessage, kMessages };

struct Row {
  std::string_view call;
  Form form;
  std::size_t flags;  // register
};
constexpr std::array<Row, 3> kRows{{{"sendto", Form::kPlain, 3},
                                    {"sendmsg", Form::kMessage, 2},
                                    {"sendmmsg", Form::kMessages, 3}}};

int OptionOf(int fd, int option) {
  int value = 0;
  socklen_t size = sizeof value;
  return getsockopt(fd, SOL_SOCKET, option, &value, &size) == 0 ? value : 0;
}

class SendPerformer final : public Performer {
 public:
  explicit SendPerformer(const Row& row) : row_(row) {}

  int Prepare(Inputs& inputs, const Surroundings& around) override;
  std::vector<Further> AmountsTo(Inputs& inputs, const Surroundings& around) override;
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  struct Sent {
    int error = 0;
    std::size_t size = 0;  // of the data
    bool breaks_pipe = false;
  };

  int PrepareSocket(Inputs& inputs);
  int PreparePlain(Inputs& inputs, const Surroundings& around);
  int PrepareMessages(Inputs& inputs, const Surroundings& around);
  bool MayWait() const;
  // What is left of the message from `from` on.
  ssize_t SendOnce(const OutgoingMessage& message, std::size_t from, const Surroundings& around,
                   int flags) const;
  Sent Send(const OutgoingMessage& message, const Surroundings& around);

  const Row& row_;
  SendingSocket socket_;
  int flags_ = 0;
  bool has_address_ = false;  // kPlain
  bool is_aside_ = false;     // others have the turn
  std::vector<OutgoingMessage> messages_;
};

int SendPerformer::PrepareSocket(Inputs& inputs) {
  auto fd = inputs.Descriptor(0);
  if (!fd) return fd.error();
  struct stat status{};
  if (fstat(*fd, &status) < 0) return errno;
  if ((fcntl(*fd, F_GETFL) & O_PATH) != 0) return EBADF;
  if (!S_ISSOCK(status.st_mode)) return ENOTSOCK;
  socket_ = {.fd = *fd, .domain = OptionOf(*fd, SO_DOMAIN), .type = OptionOf(*fd, SO_TYPE)};
  // The kernel would go on reading our copy after we have let it go.
  if ((flags_ & MSG_ZEROCOPY) != 0 && OptionOf(*fd, SO_ZEROCOPY) != 0) return ENOBUFS;
  return 0;
}

int SendPerformer::PreparePlain(Inputs& inputs, const Surroundings& around) {
  constexpr std::size_t kData = 1, kSize = 2, kAddress = 4, kLength = 5;
  if (int error = PrepareSocket(inputs); error != 0) return error;
  std::vector<std::byte> address;
  has_address_ = inputs.Register(kAddress) != 0;
  if (has_address_) {
    auto length = static_cast<std::int32_t>(inputs.Register(kLength));
    if (length < 0 || static_cast<std::size_t>(length) > sizeof(sockaddr_storage)) return EINVAL;
    auto bytes = inputs.Bytes(kAddress, static_cast<std::size_t>(length));
    if (!bytes) return bytes.error();
    address = std::move(*bytes);
  }
  auto message = CopyPlainMessage(inputs, around, socket_, inputs.Register(kData),
                                  inputs.Register(kSize), std::move(address), kAddress);
  if (!message) return message.error();
  messages_.push_back(std::move(*message));
  return 0;
}

int SendPerformer::PrepareMessages(Inputs& inputs, const Surroundings& around) {
  if (int error = PrepareSocket(inputs); error != 0) return error;
  constexpr std::size_t kMessages = 1, kCount = 2;
  bool many = row_.form == Form::kMessages;
  std::size_t count = many ? static_cast<std::uint32_t>(inputs.Register(kCount)) : 1;
  count = std::min(count, kMaxMessages);
  std::size_t room = kMaxSent;
  for (std::size_t i = 0; i < count; ++i) {
    auto message =
        CopyMessage(inputs, around, socket_, inputs.Register(kMessages) + i * sizeof(mmsghdr), room,
                    Inputs::kSlots + i);
    // Those before it are sent all the same.
    if (!message && i > 0) break;
    if (!message) return message.error();
    if (i > 0 && message->is_cut) break;
    room -= message->data.size();
    messages_.push_back(std::move(*message));
  }
  return 0;
}

int SendPerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  auto flags = static_cast<std::uint32_t>(inputs.Register(row_.flags));
  // sendto drops what is not for it to say.
  if (row_.form == Form::kPlain) flags &= ~kCompatControl;
  if ((flags & kCompatControl) != 0) return EINVAL;
  flags_ = static_cast<int>(flags);
  int error =
      row_.form == Form::kPlain ? PreparePlain(inputs, around) : PrepareMessages(inputs, around);
  if (error != 0) return error;
  static const Inputs::Message kNone;
  inputs.SetMessage(messages_.empty() ? &kNone : &messages_.front().seen);
  return 0;
}

// The call itself is judged by its first message.
std::vector<Further> SendPerformer::AmountsTo(Inputs& inputs, const Surroundings&) {
  std::vector<Further> others;
  for (std::size_t i = 1; i < messages_.size(); ++i) {
    const Inputs::Message* message = &messages_[i].seen;
    others.push_back({.look =
                          [&inputs, message](const policy::DeepSubject& subject) {
                            inputs.SetMessage(message);
                            return inputs.Look(subject);
                          },
                      .reason = fmt::format("message {} of {}", i + 1, messages_.size())});
  }
  return others;
}

bool SendPerformer::MayWait() const {
  return (flags_ & MSG_DONTWAIT) == 0 && (fcntl(socket_.fd, F_GETFL) & O_NONBLOCK) == 0;
}

ssize_t SendPerformer::SendOnce(const OutgoingMessage& message, std::size_t from,
                                const Surroundings& around, int flags) const {
  const std::byte* data = message.data.data() + from;
  std::size_t size = message.data.size() - from;
  sockaddr_storage address{};
  socklen_t length = static_cast<socklen_t>(message.seen.address.size());
  std::ranges::copy(message.seen.address, reinterpret_cast<std::byte*>(&address));
  if (message.seen.file != nullptr) {
    sockaddr_un name{.sun_family = AF_UNIX, .sun_path = {}};
    std::string file = fmt::format("/proc/self/fd/{}", message.seen.file->object.get());
    std::memcpy(name.sun_path, file.data(), file.size());
    std::memcpy(&address, &name, sizeof name);
    length = sizeof name;
  }
  flags |= MSG_NOSIGNAL;
  if (socket_.domain != AF_UNIX && row_.form == Form::kPlain) {
    // An address without bytes is not the same as none.
    const auto* to = has_address_ ? reinterpret_cast<const sockaddr*>(&address) : nullptr;
    bool has_data = message.unreadable == 0;
    return sendto(socket_.fd, has_data ? data : kNowhere, has_data ? size : message.unreadable,
                  flags, to, length);
  }
  std::vector<std::byte> control;
  // The descriptors go with the first part.
  if (from == 0) control = message.control;
  std::optional<AddedCapabilities> added;
  if (socket_.domain == AF_UNIX) {
    added.emplace(kSayWho);
    bool says_who = from == 0 && message.sender.has_value();
    const Identity& caller = around.identity;
    if (!says_who && added->has_all()) {
      // A process id that is not one's own can be said from the first user namespace alone.
      pid_t pid = around.is_elsewhere ? getpid() : caller.tgid;
      AppendCredentials(control, message.sender.value_or(ucred{.pid = pid,
                                                               .uid = caller.credentials.uids[0],
                                                               .gid = caller.credentials.gids[0]}));
    } else if (!says_who && around.is_borrowed) {
      errno = EPERM;
      return -1;
    }
  }
  std::array<iovec, 2> buffers{
      {{.iov_base = const_cast<std::byte*>(data), .iov_len = size},
       {.iov_base = const_cast<std::byte*>(kNowhere), .iov_len = message.unreadable}}};
  msghdr head{};
  head.msg_name = length == 0 ? nullptr : &address;
  head.msg_namelen = length;
  head.msg_iov = buffers.data();
  head.msg_iovlen = message.unreadable == 0 ? 1 : 2;
  head.msg_control = control.empty() ? nullptr : control.data();
  head.msg_controllen = control.size();
  return sendmsg(socket_.fd, &head, flags);
}

SendPerformer::Sent SendPerformer::Send(const OutgoingMessage& message,
                                        const Surroundings& around) {
  bool is_stream = socket_.type == SOCK_STREAM;
  if (message.is_cut && !is_stream) return {.error = EMSGSIZE};
  if (message.seen.file != nullptr && message.seen.file->error != 0 && message.unreadable == 0) {
    return {.error = message.seen.file->error};
  }
  // To connect is one step, which cannot be tried first.
  bool tries = (flags_ & MSG_FASTOPEN) == 0;
  bool waits = MayWait();
  ssize_t result = SendOnce(message, 0, around, flags_ | (waits && !tries ? 0 : MSG_DONTWAIT));
  Sent sent{.error = result < 0 ? errno : 0,
            .size = result < 0 ? 0 : static_cast<std::size_t>(result)};
  bool is_short = result >= 0 && is_stream && sent.size < message.data.size();
  if (waits && tries && (sent.error == EAGAIN || is_short)) {
    if (!is_aside_ && !around.may_wait()) return sent;
    is_aside_ = true;
    while (sent.size < message.data.size() || sent.error == EAGAIN) {
      result = SendOnce(message, sent.size, around, flags_);
      // What interrupts a send that has begun ends it.
      sent.error = result < 0 && sent.size == 0 ? errno : 0;
      if (result <= 0) break;
      sent.size += static_cast<std::size_t>(result);
    }
  }
  sent.breaks_pipe = sent.error == EPIPE && is_stream && (flags_ & MSG_NOSIGNAL) == 0;
  return sent;
}

Reply SendPerformer::Perform(Inputs& inputs, const Surroundings& around) {
  std::int64_t count = 0;
  Sent last;
  Reply reply = Reply::Value(0);
  for (const OutgoingMessage& message : messages_) {
    last = Send(message, around);
    if (last.error != 0) break;
    if (row_.form == Form::kMessages) {
      auto length = static_cast<std::uint32_t>(last.size);
      std::uint64_t at = inputs.Register(1) + static_cast<std::uint64_t>(count) * sizeof(mmsghdr) +
                         offsetof(mmsghdr, msg_len);
      reply.AddOutput(at, std::as_bytes(std::span(&length, 1)));
    }
    ++count;
    if (last.size < message.data.size()) break;
  }
  if (count == 0) reply.errno_value = last.error;
  reply.value = row_.form == Form::kMessages ? count : static_cast<std::int64_t>(last.size);
  if (last.breaks_pipe) reply.signal = SIGPIPE;
  return reply;
}

}  // namespace

std::unique_ptr<Performer> MakeSendPerformer(std::string_view call) {
  return MakeByRow<SendPerformer>(kRows, call);
}

}  // namespace callgate::supervise
