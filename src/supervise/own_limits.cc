#include "supervise/own_limits.h"

#include <sys/resource.h>

#include <csignal>

namespace callgate::supervise {

void RaiseOwnLimits() {
  // The program's limit is its own affair; ours is what calls in flight need.
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_NOFILE, &limit);
  }
  // So is the size of files: the caller's limit is kept by who performs (perform_file.cc).
  if (getrlimit(RLIMIT_FSIZE, &limit) == 0) {
    limit.rlim_cur = limit.rlim_max;
    (void)setrlimit(RLIMIT_FSIZE, &limit);
  }
  (void)signal(SIGXFSZ, SIG_IGN);
}

}  // namespace callgate::supervise
