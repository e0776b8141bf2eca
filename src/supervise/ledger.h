#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

#include "supervise/deciders.h"

namespace callgate::supervise {

// What the supervisor's threads have in hand, in memory that the guardian shares (guardian.h). Each
// place belongs to one thread at a time. Zeroed memory is an empty ledger.
struct Ledger {
  // A thread that leads, and those that wait or hang.
  static constexpr std::size_t kPlaces = kMaxInFlight + 1;

  std::atomic<std::uint64_t> steps;                       // changes whenever something is done
  std::array<std::atomic<std::uint64_t>, kPlaces> calls;  // ids of notifications; 0: none

  void Step() { steps.fetch_add(1, std::memory_order_relaxed); }
  bool IsEmpty() const {
    for (const auto& call : calls) {
      if (call.load(std::memory_order_acquire) != 0) return false;
    }
    return true;
  }
};
static_assert(std::atomic<std::uint64_t>::is_always_lock_free, "two processes share it");

}  // namespace callgate::supervise
