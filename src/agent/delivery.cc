// Descriptors come with the first bytes they were sent with, and a read never joins those of two
// sends. All are taken, whenever they come and however many: what was not asked for is closed with
// the rest. SCM_MAX_FD bounds those of one message (include/net/scm.h), so that the kernel cuts
// none off unless this process may have no more.
//
// runc 1.1 sends everything and leaves the connection open, while the container's first process
// waits for us with a call already: its end cannot be waited for. So the text is taken to be whole
// when its brackets are closed. Whether it is JSON is for the reader to find out (container.cc).

#include "agent/delivery.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <string_view>
#include <utility>

#include "agent/container.h"
#include "fmt/format.h"

namespace callgate::agent {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::size_t kMaxMessageFds = 253;  // SCM_MAX_FD
constexpr std::size_t kMaxFds = 1024;        // of a connection

std::unexpected<base::Error> Fail(int errno_value, std::string reason) {
  return base::Fail({.operation = "serve",
                     .subject = Named({}),
                     .errno_value = errno_value,
                     .reason = std::move(reason),
                     .advice = {}});
}

// Finds the end of an object or list without reading it.
class EndFinder {
 public:
  // `part`: what comes next. True: the outermost bracket is closed in it.
  bool IsIn(std::string_view part) {
    return std::ranges::any_of(part, [this](char c) { return IsAt(c); });
  }

 private:
  bool IsAt(char c) {
    if (in_string_) {
      const bool is_escaped = std::exchange(after_backslash_, false);
      if (is_escaped) return false;
      after_backslash_ = c == '\\';
      in_string_ = c != '"';
      return false;
    }
    in_string_ = c == '"';
    if (c == '{' || c == '[') ++depth_;
    if ((c != '}' && c != ']') || depth_ == 0) return false;
    --depth_;
    return depth_ == 0;
  }

  std::size_t depth_ = 0;
  bool in_string_ = false;
  bool after_backslash_ = false;
};

void Take(msghdr& message, std::vector<base::UniqueFd>& descriptors) {
  for (cmsghdr* part = CMSG_FIRSTHDR(&message); part != nullptr;
       part = CMSG_NXTHDR(&message, part)) {
    if (part->cmsg_level != SOL_SOCKET || part->cmsg_type != SCM_RIGHTS) continue;
    const std::size_t size = part->cmsg_len - CMSG_LEN(0);
    for (std::size_t at = 0; at + sizeof(int) <= size; at += sizeof(int)) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(part) + at, sizeof fd);
      descriptors.emplace_back(fd);
    }
  }
}

}  // namespace

base::Result<Delivery> Receive(int connection, std::chrono::milliseconds patience) {
  const auto deadline = Clock::now() + patience;
  Delivery delivery;
  EndFinder end;
  std::vector<char> bytes(64UL * 1024);
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxMessageFds * sizeof(int))> control;
  while (true) {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now()).count();
    pollfd polled{.fd = connection, .events = POLLIN, .revents = 0};
    int ready = left > 0 ? poll(&polled, 1, static_cast<int>(left)) : 0;
    if (ready < 0 && errno == EINTR) continue;
    if (ready < 0) return Fail(errno, "of its runtime");
    if (ready == 0) {
      return Fail(0, fmt::format("its runtime had not said all within {} s",
                                 std::chrono::duration<double>(patience).count()));
    }
    iovec part{.iov_base = bytes.data(), .iov_len = bytes.size()};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
    ssize_t size = recvmsg(connection, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
    if (size < 0 && (errno == EINTR || errno == EAGAIN)) continue;
    if (size < 0) return Fail(errno, "from its runtime");
    Take(message, delivery.descriptors);
    if ((message.msg_flags & MSG_CTRUNC) != 0 || delivery.descriptors.size() > kMaxFds) {
      return Fail(0, "more descriptors came than this process may have");
    }
    if (size == 0) return delivery;
    if (delivery.state.size() + static_cast<std::size_t>(size) > kMaxState) {
      return Fail(0, fmt::format("the runtime's state has more than {} bytes", kMaxState));
    }
    const std::string_view more(bytes.data(), static_cast<std::size_t>(size));
    delivery.state += more;
    if (end.IsIn(more)) return delivery;
  }
}

}  // namespace callgate::agent
