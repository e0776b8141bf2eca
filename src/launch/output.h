#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace callgate::launch {

// A descriptor the supervisor writes to and never waits for: a reader that does not read must not
// stop the program whose calls wait for an answer. What does not fit now is kept, up to 64 KiB, and
// tried again; beyond that whole writes are dropped and counted.
class Output {
 public:
  Output() = default;
  explicit Output(base::UniqueFd fd) : fd_(std::move(fd)) {}

  // `text` holds whole lines.
  void Write(std::string_view text);
  // Tries once more; writes what the descriptor takes.
  void Push();
  // For at most `timeout_ms`.
  void Drain(int timeout_ms);
  void Close() { fd_.Reset(); }

  bool open() const { return fd_.valid(); }
  bool has_pending() const { return open() && !pending_.empty(); }
  int fd() const { return fd_.get(); }
  bool IsTerminal() const;

 private:
  base::UniqueFd fd_;
  std::string pending_;
  std::size_t dropped_ = 0;  // writes
};

}  // namespace callgate::launch
