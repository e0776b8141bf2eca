// Standard error is shared with the program: O_NONBLOCK belongs to the open file, not to our
// descriptor, so setting it would change the program's own writes. Instead each write asks first
// (poll), takes no more than a pipe surely has room for, and says RWF_NOWAIT where the kernel knows
// it for this kind of file (pipes since Linux 6.4); the program filling the pipe between the two is
// then the only wait left on older kernels.

#include "launch/output.h"

#include <limits.h>
#include <poll.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "fmt/format.h"

namespace callgate::launch {
namespace {

constexpr std::size_t kMaxPending = 64UL * 1024;  // bytes; what a pipe holds

bool IsWritable(int fd, int timeout_ms) {
  pollfd descriptor{.fd = fd, .events = POLLOUT, .revents = 0};
  return poll(&descriptor, 1, timeout_ms) > 0;
}

std::int64_t NowMs() {
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1000 + now.tv_nsec / 1'000'000;
}

ssize_t WriteNow(int fd, std::string_view text) {
  iovec part{const_cast<char*>(text.data()), text.size()};
  ssize_t written = pwritev2(fd, &part, 1, -1, RWF_NOWAIT);
  if (written < 0 && (errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL)) {
    written = write(fd, text.data(), text.size());
  }
  return written;
}

}  // namespace

void Output::Write(std::string_view text) {
  if (!open()) return;
  if (pending_.size() + text.size() > kMaxPending) {
    ++dropped_;
    return;
  }
  if (dropped_ != 0) {
    pending_ += fmt::format("callgate: {} reports lost, nobody read them\n", dropped_);
    dropped_ = 0;
  }
  pending_ += text;
  Push();
}

void Output::Push() {
  while (has_pending() && IsWritable(fd_.get(), 0)) {
    ssize_t written = WriteNow(fd_.get(), std::string_view(pending_).substr(0, PIPE_BUF));
    if (written >= 0) {
      pending_.erase(0, static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      // A regular file that would have to wait for the disk says so too; that wait is short.
      if (IsTerminal()) return;
      if (lseek(fd_.get(), 0, SEEK_CUR) < 0) return;
      written = write(fd_.get(), pending_.data(), std::min<std::size_t>(pending_.size(), PIPE_BUF));
      if (written < 0) return Close();
      pending_.erase(0, static_cast<std::size_t>(written));
    } else if (errno != EINTR) {
      Close();  // EPIPE, EIO, ENOSPC: nobody to tell
    }
  }
}

void Output::Drain(int timeout_ms) {
  std::int64_t deadline = NowMs() + timeout_ms;
  Push();
  while (has_pending()) {
    std::int64_t left = deadline - NowMs();
    if (left <= 0 || !IsWritable(fd_.get(), static_cast<int>(left))) return;
    Push();
  }
}

bool Output::IsTerminal() const { return open() && isatty(fd_.get()) != 0; }

}  // namespace callgate::launch
