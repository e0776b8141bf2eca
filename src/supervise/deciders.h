#pragma once

#include <pthread.h>
#include <sys/types.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string_view>
#include <thread>
#include <vector>

#include "kernel/kernel.h"

namespace callgate::supervise {

struct Ledger;

// One waiting call in the hands of the thread that decides it.
struct Turn {
  int listener = -1;
  const kernel::Notification& notification;
  // What comes may take as long as somebody likes: another thread takes the next calls, there is no
  // deadline any more, and system calls of this thread fail with EINTR once the caller is gone or
  // has a signal to attend to. False: too many wait already, so this one must not.
  std::function<bool()> step_aside = [] { return true; };
  // Stops that thread, which waits in its call, behind it; who traces it is told. False: it cannot.
  std::function<bool(pid_t tid)> hold = [](pid_t) { return false; };
};

// How many calls may wait at the same time for what takes as long as somebody likes. A bound, not a
// goal: each holds a thread and up to six descriptors.
inline constexpr std::size_t kMaxInFlight = 64;
// How long a call may be looked at and performed otherwise, before it is refused.
inline constexpr std::chrono::seconds kDeadline{5};

// Threads that take turns at one listener, until nobody is left under its filter; before Linux 6.11
// until Stop.
class Deciders {
 public:
  enum class Refusal : std::uint8_t {
    kOverdue,   // the deadline has passed
    kOverload,  // every thread hangs or waits
  };
  struct Callbacks {
    // Decides and answers. May take long, in several threads at once.
    std::function<void(const Turn&)> decide;
    // Answers a call that is not decided. Must not look at the caller: that is what takes too long.
    std::function<void(const kernel::Notification&, Refusal)> refuse;
    // The listener is broken: nothing will be decided any more.
    std::function<void(std::string_view operation, int errno_value)> fail;
    // As in Turn; empty: nobody traces.
    std::function<bool(pid_t tid)> hold = nullptr;
  };
  struct Limits {
    std::size_t in_flight = kMaxInFlight;
    std::chrono::milliseconds deadline = kDeadline;
    Ledger* ledger = nullptr;  // where what is in hand stands for others; nullptr: for nobody
  };

  Deciders(kernel::Kernel& kernel, int listener, Callbacks callbacks, Limits limits);
  Deciders(kernel::Kernel& kernel, int listener, Callbacks callbacks);
  // Interrupts what waits, and waits for what cannot be interrupted.
  ~Deciders();
  Deciders(const Deciders&) = delete;
  Deciders& operator=(const Deciders&) = delete;

  // False: no thread can be started.
  bool Start();
  // Interrupts what waits. False: some thread still hangs after that time.
  bool Stop(std::chrono::milliseconds patience);

 private:
  using Lock = std::unique_lock<std::mutex>;
  enum class Phase : std::uint32_t { kIdle, kReceiving, kDeciding, kNoticed, kWaiting, kOverdue };
  // What a thread does, and since which tick: one word, so that both change at once.
  struct State {
    std::uint32_t since = 0;  // differences count, so it may wrap
    Phase phase = Phase::kIdle;
  };
  static_assert(std::atomic<State>::is_always_lock_free);
  struct Seat {
    pthread_t thread{};
    // Its own thread goes from kReceiving to kDeciding and back without the lock. Every other step
    // takes it, the watcher's first one excepted: to kNoticed, from where none goes without it.
    std::atomic<State> state = State{};
    std::size_t place = 0;                   // in the ledger
    kernel::Notification notification = {};  // kept until the next kDeciding

    Phase phase() const { return state.load().phase; }
  };

  // All with the lock held.
  bool AddSeat();
  bool Relieve(const Seat& seat);
  void Tick(Lock& lock);
  void RefuseWhatComes();
  bool NothingInHand() const;
  void Interrupt(const Seat& seat) const;

  bool StepAside(Seat& seat);
  // One call. False: another leads now, or nobody any more.
  bool Lead(Seat& seat, const Turn& turn);
  void Break();
  void Serve(std::list<Seat>::iterator seat);
  void Watch();

  kernel::Kernel& kernel_;
  const int listener_;
  const Callbacks callbacks_;
  const Limits limits_;
  std::unique_ptr<Ledger> own_ledger_;  // where there is no other
  Ledger& ledger_;
  std::mutex mutex_;
  std::condition_variable lead_is_free_, watch_, ended_;
  std::list<Seat> seats_;
  const Seat* leader_ = nullptr;
  std::size_t idle_ = 0;
  std::atomic<std::uint32_t> tick_ = 0;
  std::atomic<bool> watch_sleeps_ = false;
  std::atomic<bool> over_ = false;  // no more notifications are taken
  std::thread watcher_;
};

}  // namespace callgate::supervise
