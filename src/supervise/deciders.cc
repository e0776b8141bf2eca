// One thread leads: it takes the next call, decides it, performs it, answers it, all by itself, so
// that a call costs two switches between processes and none between threads. The others wait for
// the lead. It passes on when the leader says that it is going to wait (a FIFO without a writer),
// and when it is seen to be stuck (a file system that does not answer, memory whose page fault
// somebody handles in his own time); the rest of that call is then that thread's affair alone.
//
// Rejected: several threads that receive at once. Measured on the machine this was written on, four
// of them serve 87–143 thousand calls a second of one target and one serves 204–393 thousand,
// because each wake-up crosses CPUs.
//
// A watcher looks every 10 ms while there is a call in hand, and sleeps else. It
//  - passes the lead on when the leader has been in one call for two ticks,
//  - refuses a call that is in hand for longer than the deadline: its thread then finds nobody to
//    answer, whenever it comes back,
//  - interrupts threads that wait when their caller is gone or has a signal,
//  - refuses what comes while every thread waits or hangs, the last one for half the deadline.
//
// A call that takes no longer than a tick or two costs no lock: the leader says what it does in one
// word, and takes the lock after a call only if the watcher has noticed it or it has stepped aside.
//
// The watcher counts ticks, not time: while the supervisor is stopped or the machine sleeps no
// deadline passes. It never looks at a target itself, so nothing a target does can hold it up.

#include "supervise/deciders.h"

#include <poll.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

#include "supervise/ledger.h"
#include "supervise/pending_signal.h"

namespace callgate::supervise {
namespace {

// How long a caller may wait for its signal. Short enough not to be noticed at a terminal.
constexpr std::chrono::milliseconds kTick{10};
constexpr std::uint32_t kPatience = 2;  // ticks
constexpr int kInterrupt = SIGUSR2;

// Without SA_RESTART: the system call that waits must come back.
void CatchInterrupt() {
  struct sigaction action{};
  action.sa_handler = [](int) {};
  sigaction(kInterrupt, &action, nullptr);
}

}  // namespace

Deciders::Deciders(kernel::Kernel& kernel, int listener, Callbacks callbacks, Limits limits)
    : kernel_(kernel),
      listener_(listener),
      callbacks_(std::move(callbacks)),
      limits_(limits),
      own_ledger_(limits.ledger == nullptr ? std::make_unique<Ledger>() : nullptr),
      ledger_(limits.ledger == nullptr ? *own_ledger_ : *limits.ledger) {}

Deciders::Deciders(kernel::Kernel& kernel, int listener, Callbacks callbacks)
    : Deciders(kernel, listener, std::move(callbacks), Limits{}) {}

Deciders::~Deciders() {
  while (!Stop(kDeadline)) {
  }
  if (watcher_.joinable()) watcher_.join();
}

bool Deciders::Start() {
  CatchInterrupt();
  try {
    watcher_ = std::thread([this] { Watch(); });
  } catch (const std::system_error&) {
    return false;
  }
  Lock lock(mutex_);
  return AddSeat();
}

bool Deciders::Stop(std::chrono::milliseconds patience) {
  Lock lock(mutex_);
  over_ = true;
  lead_is_free_.notify_all();
  watch_.notify_all();
  return ended_.wait_for(lock, patience, [this] { return seats_.empty(); });
}

bool Deciders::AddSeat() {
  if (seats_.size() > limits_.in_flight) return false;  // those, and one that leads
  // Seats are given up only in the end, so their number is the next free place.
  std::size_t place = seats_.size();
  auto seat = seats_.emplace(seats_.end());
  seat->place = place;
  try {
    std::thread([this, seat] { Serve(seat); }).detach();
  } catch (const std::system_error&) {
    seats_.erase(seat);
    return false;
  }
  return true;
}

// The leader is not going to take the next call. False: nobody else can.
bool Deciders::Relieve(const Seat& seat) {
  if (leader_ != &seat) return true;
  if (idle_ == 0 && !AddSeat()) return false;
  leader_ = nullptr;
  lead_is_free_.notify_one();
  return true;
}

bool Deciders::StepAside(Seat& seat) {
  Lock lock(mutex_);
  const State state = seat.state;
  if (state.phase == Phase::kWaiting) return true;  // once aside
  if (state.phase == Phase::kOverdue || !Relieve(seat)) return false;
  seat.state = {.since = state.since, .phase = Phase::kWaiting};
  return true;
}

void Deciders::Serve(std::list<Seat>::iterator seat) {
  const Turn turn{.listener = listener_,
                  .notification = seat->notification,
                  .step_aside = [this, seat] { return StepAside(*seat); },
                  .hold = [this](pid_t tid) { return callbacks_.hold && callbacks_.hold(tid); }};
  Lock lock(mutex_);
  seat->thread = pthread_self();
  while (!over_) {
    ++idle_;
    lead_is_free_.wait(lock, [this] { return leader_ == nullptr || over_; });
    --idle_;
    if (over_) break;
    leader_ = &*seat;
    seat->state = {.phase = Phase::kReceiving};
    lock.unlock();
    while (Lead(*seat, turn)) {
    }
    lock.lock();
    seat->state = {.phase = Phase::kIdle};
  }
  seats_.erase(seat);
  ended_.notify_all();
}

void Deciders::Break() {
  Lock lock(mutex_);
  over_ = true;
  lead_is_free_.notify_all();
  watch_.notify_all();
}

bool Deciders::Lead(Seat& seat, const Turn& turn) {
  if (over_) return false;
  kernel::NotificationRoom& room = ledger_.calls.at(seat.place);
  auto received = kernel_.Receive(listener_, room);
  ledger_.Step();
  if (!received) {
    if (received.error() == EINTR) return true;
    if (received.error() == ENOENT) {
      // A target died in the middle, which is normal; or there is none any more.
      std::array<pollfd, 1> polled{{{.fd = listener_, .events = 0, .revents = 0}}};
      if (kernel_.Poll(polled, 0) && polled[0].revents == 0) return true;
    } else {
      callbacks_.fail("receive a notification", received.error());
    }
    Break();
    return false;
  }
  seat.notification = *received;
  State deciding{.since = tick_, .phase = Phase::kDeciding};
  // The watcher says that it sleeps before it looks whether anything is in hand: one of us two sees
  // the other's word.
  seat.state = deciding;
  if (watch_sleeps_) {
    Lock lock(mutex_);
    watch_sleeps_ = false;
    watch_.notify_one();
  }
  callbacks_.decide(turn);
  room.id.store(0, std::memory_order_release);
  ledger_.Step();
  if (seat.state.compare_exchange_strong(deciding, {.phase = Phase::kReceiving})) return true;
  Lock lock(mutex_);
  seat.state = {.phase = Phase::kReceiving};
  return leader_ == &seat;
}

bool Deciders::NothingInHand() const {
  return std::ranges::none_of(seats_, [](const Seat& seat) {
    return seat.phase() != Phase::kIdle && seat.phase() != Phase::kReceiving;
  });
}

// A signal that comes just before the thread enters its system call is lost, so it is sent again at
// every tick.
void Deciders::Interrupt(const Seat& seat) const {
  if (seat.phase() != Phase::kIdle) pthread_kill(seat.thread, kInterrupt);
}

void Deciders::RefuseWhatComes() {
  // The leader is stuck in a call, and with the lock held it stays so: nobody else receives.
  std::array<pollfd, 1> polled{{{.fd = listener_, .events = POLLIN, .revents = 0}}};
  while (kernel_.Poll(polled, 0).value_or(0) > 0 && (polled[0].revents & POLLIN) != 0) {
    kernel::NotificationRoom& room = ledger_.calls[Ledger::kWatcher];
    if (auto received = kernel_.Receive(listener_, room)) {
      callbacks_.refuse(*received, Refusal::kOverload);
    }
    room.id.store(0, std::memory_order_release);
  }
}

void Deciders::Tick(Lock& lock) {
  ++tick_;
  ledger_.Step();
  const auto deadline = static_cast<std::uint32_t>(limits_.deadline / kTick);
  std::vector<kernel::Notification> overdue, waiting;
  bool overloaded = false;
  for (Seat& seat : seats_) {
    if (over_) {
      Interrupt(seat);
      continue;
    }
    State state = seat.state;
    const std::uint32_t age = tick_ - state.since;
    // Not at once: on a busy machine a thread that is merely slow looks like one that hangs. That
    // it still is in that call is certain only once it must take the lock to leave it.
    if (state.phase == Phase::kDeciding && age > kPatience) {
      const State noticed{.since = state.since, .phase = Phase::kNoticed};
      if (seat.state.compare_exchange_strong(state, noticed)) state = noticed;
    }
    switch (state.phase) {
      case Phase::kIdle:
      case Phase::kReceiving:
      case Phase::kDeciding:
        break;
      case Phase::kNoticed:
        if (!Relieve(seat)) overloaded = overloaded || age > deadline / 2;
        if (age > deadline) {
          seat.state = {.since = state.since, .phase = Phase::kOverdue};
          overdue.push_back(seat.notification);
        }
        break;
      case Phase::kWaiting:
        waiting.push_back(seat.notification);
        break;
      case Phase::kOverdue:
        if (!Relieve(seat)) overloaded = true;
        Interrupt(seat);
        break;
    }
  }
  if (overloaded) RefuseWhatComes();
  lock.unlock();
  for (const kernel::Notification& late : overdue) callbacks_.refuse(late, Refusal::kOverdue);
  std::erase_if(waiting, [this](const kernel::Notification& call) {
    return kernel_.IsPending(listener_, call.id) &&
           PendingSignalOf(call.tid) == PendingSignal::kNone;
  });
  lock.lock();
  for (const Seat& seat : seats_) {
    if (seat.phase() == Phase::kWaiting &&
        std::ranges::find(waiting, seat.notification.id, &kernel::Notification::id) !=
            waiting.end()) {
      Interrupt(seat);
    }
  }
}

void Deciders::Watch() {
  Lock lock(mutex_);
  while (!over_ || !seats_.empty()) {
    watch_sleeps_ = true;  // before the look, see Lead
    if (!over_ && NothingInHand()) {
      watch_.wait(lock, [this] { return !watch_sleeps_ || over_; });
    }
    watch_sleeps_ = false;
    lock.unlock();
    std::this_thread::sleep_for(kTick);
    lock.lock();
    Tick(lock);
  }
}

}  // namespace callgate::supervise
