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
    case kNotPerformed:
      return Refusal{EPERM,
                     "the supervisor does not perform this command, or one of its attributes: "
                     "where the policy may allow it, allow it by registers (cmd)"};
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
