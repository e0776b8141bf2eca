// chdir, fchdir, chroot: they change the caller itself, so that nobody can make them for it.
//
// They are decided twice, as an exec is (perform_exec.cc). First on what the copied path leads to,
// or what a duplicate of the descriptor is open on; what is refused there gets its errno. Then the
// caller makes the call itself, and the kernel reads path, links and descriptor anew. But it is to
// stop behind the call (PTRACE_INTERRUPT, asked for while it still waits for its answer), and
// before its next instruction the supervisor looks where it has come to, /proc/TID/cwd or root, and
// asks the policy again. Anything but "allowed" kills the process there. A call that failed has
// changed nothing, and is not judged.
//
// Working and root directory belong to a structure that threads share (CLONE_FS), and who shares it
// could use the new directory while the caller stands still. So the caller must be alone with it:
//
//  - it must be the only thread of its process. That stays so while it waits: nobody else could
//    make another thread of it;
//  - processes that share the structure do not come to be: the filter refuses clone with CLONE_FS
//    and without CLONE_THREAD, and clone3, whose flags it cannot see (api/shared_places.cc). Nobody
//    can join such a structure later. Asking who shares one (kcmp) would not do: it answers for one
//    other process at a time, and they can come and go meanwhile.
//
// Rejected: to hold the path still in memory that the target cannot write, and to redirect the call
// to it. That holds the names still and not what they lead to. To stop all threads of a process
// first would interrupt what they wait in, and one that is in the middle of a path walk would
// finish it behind the call.

#include <fcntl.h>

#include <array>
#include <cerrno>
#include <string>

#include "supervise/copy.h"
#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

struct Layout {
  std::string_view call;
  bool by_descriptor = false;
};

constexpr std::array<Layout, 3> kLayouts{{
    {.call = "chdir"},
    {.call = "chroot"},
    {.call = "fchdir", .by_descriptor = true},
}};

class MovePerformer final : public Performer {
 public:
  explicit MovePerformer(const Layout& layout) : layout_(layout) {}

  int Prepare(Inputs& inputs, const Surroundings& around) override;
  // Who looks for a directory tries one name after the other.
  bool IsAboutNothing(Inputs& inputs) const override {
    const PinnedPath* pinned = inputs.Pinned(0);
    return pinned != nullptr && pinned->error == ENOENT;
  }
  Maker MadeBy() const override { return Maker::kUntilReturned; }

 private:
  const Layout& layout_;
};

int MovePerformer::Prepare(Inputs& inputs, const Surroundings& around) {
  if (layout_.by_descriptor) {
    auto fd = inputs.Descriptor(0);
    return fd ? 0 : fd.error();
  }
  auto text = inputs.String(0, kMaxPath);
  if (!text) return text.error();
  if (text->empty()) return ENOENT;
  auto places = PlacesOf(inputs.tid(), around.identity, around.same_pid_namespace, *text, AT_FDCWD);
  if (!places) return places.error();
  auto pinned = inputs.Pin(0, *places, Follow::kAll);
  return pinned ? 0 : pinned.error();
}

}  // namespace

std::unique_ptr<Performer> MakeMovePerformer(std::string_view call) {
  return MakeByRow<MovePerformer>(kLayouts, call);
}

}  // namespace callgate::supervise
