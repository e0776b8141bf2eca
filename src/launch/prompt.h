#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>
#include <string_view>

#include "base/unique_fd.h"
#include "launch/inquiry.h"

namespace callgate::launch {

// Asks the person at the terminal what a policy leaves to `ask`. One question is asked at a time.
// Made before the fork, while the terminal is the caller's; used in the supervisor.
class Prompt {
 public:
  enum class Choice : std::uint8_t { kOnce, kAlways, kDeny, kInterrupted };
  struct Answer {
    Choice choice = Choice::kDeny;
    std::string reason = {};       // of a denial
    bool was_full_screen = false;  // the program should draw its screen again
  };
  // What "always" would write. Shown before it is done.
  struct Offer {
    std::string place;    // "app.cg:3"
    std::string line;     // how it will read
    std::string warning;  // why it cannot be written, and holds for this run only
  };

  // Opens /dev/tty; without one every question is denied.
  Prompt();

  // -1: there is none.
  int terminal() const { return terminal_.get(); }

  struct Callbacks {
    std::function<bool()> is_settled;   // has an earlier answer allowed it? Asked at its turn.
    std::function<bool()> still_waits;  // does the caller?
    std::function<Offer()> offer;
    // Does what was offered, before the next question's turn. "": done, else why not.
    std::function<std::string()> accept;
  };
  // kInterrupted: the caller is gone, or has a signal to attend to.
  Answer Ask(const Inquiry& inquiry, const Callbacks& callbacks);

 private:
  base::UniqueFd terminal_;
  std::timed_mutex turn_;
  std::atomic<bool> denies_all_ = false;
};

// Does the thread run in the foreground of that terminal? A program in the background would take
// the shell's keys. `stat`: the text of /proc/TID/stat; `device`: of the terminal, as TIOCGDEV
// tells it.
bool IsInForeground(std::string_view stat, unsigned device);

}  // namespace callgate::launch
