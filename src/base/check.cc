#include "base/check.h"

#include <cstdio>
#include <cstdlib>

namespace callgate::base {

void CheckFailed(const char* file, int line, const char* condition) {
  std::fprintf(stderr, "callgate: internal error: %s:%d: %s\n", file, line, condition);
  std::abort();
}

}  // namespace callgate::base
