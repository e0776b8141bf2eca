// open(2) of a FIFO for reading waits until somebody opens it for writing. Who has opened it
// without waiting, because it was not known to be a FIFO, must not leave the wait to a second open:
// the first has let a writer go on, who may have written and gone by then, and nobody else may
// come.
//
// What remains of a writer is seen at the descriptor: its data, or that it hung up (pipe_poll,
// fs/pipe.c, remembers how many writers there had been at the open). A writer that has done nothing
// yet poll(2) does not tell; tee(2) does, which fails with EAGAIN as long as there is one. Nothing
// wakes a reader for that one, so it is looked for at every tick.

#include "supervise/fifo.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/unique_fd.h"

namespace callgate::supervise {
namespace {

constexpr int kTickMs = 10;

// poll(2) for what a writer has left.
int PollOnce(int fd, int timeout_ms) {
  pollfd reader{.fd = fd, .events = POLLIN, .revents = 0};
  return poll(&reader, 1, timeout_ms);
}

bool HasWriter(int fd, int scratch) {
  const ssize_t copied = tee(fd, scratch, 1, SPLICE_F_NONBLOCK);
  return copied > 0 || (copied < 0 && errno == EAGAIN);
}

struct Scratch {
  base::UniqueFd out, in;
};

int MakeScratch(Scratch& scratch) {
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) < 0) return errno;
  scratch.out.Reset(ends[0]);
  scratch.in.Reset(ends[1]);
  return 0;
}

}  // namespace

bool HasHadWriter(int fd) {
  if (PollOnce(fd, 0) > 0) return true;
  Scratch scratch;
  return MakeScratch(scratch) == 0 && HasWriter(fd, scratch.in.get());
}

int AwaitWriter(int fd) {
  Scratch scratch;
  if (int error = MakeScratch(scratch); error != 0) return error;
  while (!HasWriter(fd, scratch.in.get())) {
    const int ready = PollOnce(fd, kTickMs);
    if (ready > 0) return 0;
    if (ready < 0) return errno;
  }
  return 0;
}

}  // namespace callgate::supervise
