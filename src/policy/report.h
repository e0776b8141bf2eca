#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/diagnostic.h"

namespace callgate::policy {

// Between the type checker and the user. A clause is typed once for each ABI and each call of its
// rule; what is wrong with it is said once. Where it is wrong only on one of several ABIs, the
// report says on which.
class Report {
 public:
  explicit Report(base::Diagnostics& diagnostics) : diagnostics_(diagnostics) {}

  // What is being typed now. `place` ("on i386") is added to errors that the first ABI did not
  // have; empty for the first. Within a group rule one message for each place in the text is
  // enough: 300 calls without an `fd` are one mistake.
  void Enter(std::string place, bool in_group) {
    place_ = std::move(place);
    in_group_ = in_group;
  }

  void Error(base::Span span, std::string message, std::vector<base::Note> notes = {}) {
    ++errors_;
    if (!seen_.emplace(span.file, span.begin, span.end, in_group_ ? "" : message).second) return;
    if (!place_.empty()) notes.push_back({place_, {}});
    for (auto use = uses_.rbegin(); use != uses_.rend(); ++use) {
      notes.push_back({"'" + use->first + "' is used here", use->second});
    }
    diagnostics_.Error(span, std::move(message)).notes = std::move(notes);
  }

  // A warning that holds only if every ABI and call agrees: Doubt where it applies, Clear where it
  // does not. Flush reports the doubts that were never cleared, in the order of the text.
  // A place can be doubted for several reasons, each on its own.
  enum class Reason : std::uint8_t { kRegister, kType, kAlwaysTrue, kNeverReached };
  void Doubt(Reason reason, base::Span span, const std::string& message,
             const std::string& note = {}) {
    doubts_.try_emplace(KeyOf(reason, span), span, message, note);
  }
  void Clear(Reason reason, base::Span span) { cleared_.insert(KeyOf(reason, span)); }
  void Flush() {
    for (auto& [key, doubt] : doubts_) {
      auto& [span, message, note] = doubt;
      if (cleared_.contains(key)) continue;
      auto& warning = diagnostics_.Warning(span, message);
      if (!note.empty()) warning.notes.push_back({note, {}});
    }
    doubts_.clear();
    cleared_.clear();
  }

  // Inside a let: its use is shown below every error.
  void EnterLet(std::string name, base::Span use) { uses_.emplace_back(std::move(name), use); }
  void LeaveLet() { uses_.pop_back(); }

  bool IsFull() const { return diagnostics_.IsFull(); }

  // Counts repeated errors too: has anything failed since the caller last looked?
  std::size_t errors() const { return errors_; }

 private:
  using Key = std::tuple<base::FileId, std::uint32_t, std::uint32_t, Reason>;
  static Key KeyOf(Reason reason, base::Span span) {
    return {span.file, span.begin, span.end, reason};
  }

  base::Diagnostics& diagnostics_;
  std::string place_;
  bool in_group_ = false;
  std::size_t errors_ = 0;
  std::set<std::tuple<base::FileId, std::uint32_t, std::uint32_t, std::string>> seen_;
  std::vector<std::pair<std::string, base::Span>> uses_;
  std::map<Key, std::tuple<base::Span, std::string, std::string>> doubts_;
  std::set<Key> cleared_;
};

}  // namespace callgate::policy
