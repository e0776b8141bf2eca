#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <optional>
#include <string>

#include "launch/inquiry.h"

namespace callgate::launch {

// The handler that decides what a policy leaves to `notify`, at the other end of a stream socket.
// It may be made before a fork and used after it. Several threads may ask at once, and the answers
// may come in any order.
//
// Without an answer that it understands, a call is denied: the handler is gone, late, answers
// something else, or writes what is no answer at all, after which it is not listened to any more.
class Handler {
 public:
  // `socket` is borrowed. `patience`: how long to wait for one answer.
  Handler(int socket, std::chrono::milliseconds patience) : socket_(socket), patience_(patience) {}
  Handler(const Handler&) = delete;
  Handler& operator=(const Handler&) = delete;

  supervise::AnswerFromOutside Ask(const Inquiry& inquiry,
                                   const std::function<bool()>& still_waits);

 private:
  using Clock = std::chrono::steady_clock;
  using Lock = std::unique_lock<std::mutex>;

  // With the lock held. False: this thread is not the one that reads.
  bool BecomeReader();
  // Waits for what comes, for a moment.
  void Read(Lock& lock);
  void TakeLine(std::string_view line);
  void Break(std::string why);
  bool Send(std::string_view line, Clock::time_point deadline);

  const int socket_;
  const std::chrono::milliseconds patience_;
  std::mutex sending_;
  std::mutex mutex_;  // what follows
  std::condition_variable changed_;
  bool is_read_ = false;  // some thread reads
  std::uint64_t next_id_ = 1;
  std::map<std::uint64_t, std::optional<Verdict>> waiting_;  // by id; its answer
  std::string received_;                                     // of a line that is not complete
  std::string broken_;                                       // why nobody is asked any more
};

}  // namespace callgate::launch
