#include "supervise/refusal.h"

namespace callgate::supervise {

std::optional<Refusal> RefusalOf(int failed) {
  switch (failed) {
    case kCannotLook:
      return Refusal{EPERM,
                     "the supervisor has not the rights to look at the caller, or to act as it"};
    case kOtherRoot:
      return Refusal{EPERM,
                     "the caller is in a user namespace of its own with another root, or other "
                     "mounts, and could give files any name: write rules for mount, chroot and "
                     "their like, and it is judged by the names it gives"};
    case kTooMuch:
      return Refusal{EPERM, "the caller points to more than the supervisor copies"};
    case kHelperGone:
      return Refusal{EPERM, "the process that makes calls in the caller's namespaces was killed"};
    case EMFILE:
    case ENFILE:
    case ENOMEM:
      return Refusal{failed, "the supervisor has run out of descriptors or memory"};
    default:
      return std::nullopt;
  }
}

}  // namespace callgate::supervise
