#pragma once

namespace callgate::supervise {

// `fd`: of the reading end of a FIFO, which does not wait (O_NONBLOCK). Has anybody had the writing
// end open at any time since `fd` was opened?
bool HasHadWriter(int fd);
// Waits for that. 0, or an errno: EINTR, and those of pipe(2).
int AwaitWriter(int fd);

}  // namespace callgate::supervise
