// Whoever waits for an answer reads, one thread at a time, and hands each answer to the thread that
// waits for it. So there is no thread that must exist before the first question, none to stop, and
// a fork before the first question takes nothing away.
//
// A line that is no answer cannot be told from the middle of one, so that nothing after it can be
// believed: the handler is given up. An answer to a call that does not wait any more is late, and
// normal; one to a call that was never asked about is not.

#include "launch/handler.h"

#include <poll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "fmt/format.h"
#include "launch/escape.h"

namespace callgate::launch {
namespace {

using supervise::AnswerFromOutside;

// How long a thread reads or waits before it looks whether its caller still does.
constexpr std::chrono::milliseconds kMoment{50};
constexpr std::size_t kMaxReason = 200;  // bytes of a handler's reason that are reported

AnswerFromOutside Denied(std::string why) {
  return {{policy::Verb::kErrno, EPERM}, std::move(why)};
}

std::string Shortened(std::string_view text) {
  return Escape(text.substr(0, kMaxReason)) + (text.size() > kMaxReason ? "…" : "");
}

}  // namespace

void Handler::Break(std::string why) {
  if (broken_.empty()) broken_ = std::move(why);
  (void)shutdown(socket_, SHUT_RDWR);
  changed_.notify_all();
}

bool Handler::BecomeReader() { return !std::exchange(is_read_, true); }

void Handler::TakeLine(std::string_view line) {
  auto verdict = ParseVerdict(line);
  if (!verdict || verdict->id == 0 || verdict->id >= next_id_) {
    return Break(fmt::format("the handler wrote what is no answer: {}", Shortened(line)));
  }
  auto found = waiting_.find(verdict->id);
  if (found != waiting_.end() && !found->second) found->second = std::move(*verdict);
}

void Handler::Read(Lock& lock) {
  lock.unlock();
  std::array<char, 4096> bytes;
  pollfd polled{.fd = socket_, .events = POLLIN, .revents = 0};
  ssize_t size = -1;
  int error = EAGAIN;
  if (poll(&polled, 1, static_cast<int>(kMoment.count())) > 0) {
    size = recv(socket_, bytes.data(), bytes.size(), MSG_DONTWAIT);
    error = size < 0 ? errno : 0;
  }
  lock.lock();
  is_read_ = false;
  changed_.notify_all();
  if (error == EAGAIN || error == EINTR || !broken_.empty()) return;
  if (size <= 0) return Break("the handler is gone");
  received_.append(bytes.data(), static_cast<std::size_t>(size));
  std::size_t begin = 0;
  for (std::size_t end = 0; broken_.empty(); begin = end + 1) {
    end = received_.find('\n', begin);
    if (end == std::string::npos) break;
    TakeLine(std::string_view(received_).substr(begin, end - begin));
  }
  received_.erase(0, begin);
  if (received_.size() > kMaxLine) Break("the handler wrote a line without an end");
}

// False: the handler does not read, or is gone.
bool Handler::Send(std::string_view line, Clock::time_point deadline) {
  std::lock_guard sending(sending_);
  bool has_begun = false;
  while (!line.empty()) {
    ssize_t sent = send(socket_, line.data(), line.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent >= 0) {
      line.remove_prefix(static_cast<std::size_t>(sent));
      has_begun = true;
      continue;
    }
    int error = errno;
    if (error != EAGAIN && error != EINTR) return false;
    if (Clock::now() > deadline) {
      // What follows half a line would be read as its end.
      if (has_begun) {
        Lock lock(mutex_);
        Break("the handler stopped reading in the middle of a question");
      }
      return false;
    }
    pollfd polled{.fd = socket_, .events = POLLOUT, .revents = 0};
    (void)poll(&polled, 1, static_cast<int>(kMoment.count()));
  }
  return true;
}

AnswerFromOutside Handler::Ask(const Inquiry& inquiry, const std::function<bool()>& still_waits) {
  auto deadline = Clock::now() + patience_;
  Lock lock(mutex_);
  if (!broken_.empty()) return Denied(broken_);
  std::uint64_t id = next_id_++;
  auto line = InquiryLine(id, inquiry);
  if (!line) return Denied("a handler cannot be told: a name that is no UTF-8, or too much of it");
  auto mine = waiting_.emplace(id, std::nullopt).first;
  lock.unlock();
  bool is_sent = Send(*line, deadline);
  lock.lock();
  while (is_sent && !mine->second && broken_.empty() && Clock::now() < deadline) {
    if (BecomeReader()) {
      Read(lock);
    } else {
      changed_.wait_for(lock, kMoment);
    }
    lock.unlock();
    bool waits = still_waits();
    lock.lock();
    if (!waits) break;
  }
  std::optional<Verdict> verdict = std::move(mine->second);
  waiting_.erase(mine);
  if (!verdict) {
    if (!broken_.empty()) return Denied(broken_);
    return Denied(is_sent
                      ? fmt::format("the handler has not answered within {} ms", patience_.count())
                      : "the handler does not read, or is gone");
  }
  auto arch = abi::ArchOfCall(inquiry.call.arch, inquiry.call.nr).value_or(abi::NativeArch());
  auto action = ActionNamed(verdict->verdict, arch);
  if (!action) {
    return Denied(fmt::format("the handler's verdict is none: '{}'", Shortened(verdict->verdict)));
  }
  std::string reason = verdict->reason.empty() ? "the handler says so"
                                               : "the handler: " + Shortened(verdict->reason);
  return {*action, std::move(reason)};
}

}  // namespace callgate::launch
