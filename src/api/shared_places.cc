#include "api/shared_places.h"

#include "base/check.h"

namespace callgate {

// Threads share them too, and are counted when one of them moves. C libraries go on with clone
// where there is no clone3.
Policy SharedPlacesGuard() {
  auto guard = Policy::FromText("<directories>", R"(arch: x86_64, i386, x32
default: allow
unknown: allow
bad_arch: allow
clone: clone_flags has CLONE_THREAD; clone_flags & CLONE_FS -> errno(EPERM)
clone3: else -> errno(ENOSYS)
)");
  CG_CHECK(guard.has_value());
  return *guard;
}

}  // namespace callgate
