#pragma once

#include <sys/types.h>

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>

#include "base/unique_fd.h"

namespace callgate::bench {

inline constexpr std::size_t kMaxCalls = 100'000;

// Shared between the processes of one row.
struct Board {
  std::atomic<std::uint32_t> word{0};
  std::atomic<std::uint32_t> go{0};
  std::atomic<bool> failed{false};
  std::array<double, kMaxCalls> samples{};  // nanoseconds
};

struct Bench {
  Board& board;
  std::size_t calls;
  std::string file;  // what is opened
};

// Makes the call over and over; each one's time goes to the board.
void Measure(Bench& bench, const std::function<bool()>& call);
bool OpenAndClose(const std::string& path);

// Puts this process under a filter that notifies the call `nr`, and returns its listener.
int NotifyCall(std::uint32_t nr);

// The child ends with `child`, and with its parent.
pid_t Fork(const std::function<void()>& child);
void Reap(pid_t pid);

// A child that measures `call`, whose number is notified, and its listener. `begin`: what it does
// before all else.
struct Notifier {
  pid_t pid = 0;
  base::UniqueFd listener;
};
Notifier StartNotifier(
    Bench& bench, std::uint32_t nr, const std::function<bool()>& call,
    const std::function<void()>& begin = [] {});

}  // namespace callgate::bench
