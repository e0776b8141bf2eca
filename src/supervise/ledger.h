#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "kernel/kernel.h"
#include "supervise/deciders.h"

namespace callgate::supervise {

// What the supervisor's threads have in hand, in memory that the guardian shares (guardian.h). Each
// place belongs to one thread at a time, and the kernel writes a call there as it hands it out, so
// that none is in nobody's hand. Zeroed memory is an empty ledger.
struct Ledger {
  // A thread that leads, and those that wait or hang; the watcher of deciders.cc; a guardian.
  static constexpr std::size_t kWatcher = kMaxInFlight + 1;
  static constexpr std::size_t kGuardian = kWatcher + 1;
  static constexpr std::size_t kPlaces = kGuardian + 1;

  std::atomic<std::uint64_t> steps;  // changes whenever something is done
  std::array<kernel::NotificationRoom, kPlaces> calls;

  void Step() { steps.fetch_add(1, std::memory_order_relaxed); }
  bool IsEmpty() const {
    for (const auto& call : calls) {
      if (call.id.load(std::memory_order_acquire) != 0) return false;
    }
    return true;
  }
};

}  // namespace callgate::supervise
