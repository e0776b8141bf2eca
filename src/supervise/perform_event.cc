// perf_event_open: the structure is copied, and the event is made for the thread it names and
// handed over. The kernel asks for the real user and all capabilities of who makes it, so a helper
// with those makes it (Scope::kIds).
//
// Kinds of events beyond those that <linux/perf_event.h> numbers are a machine's own; the structure
// of some holds addresses of text, which would be looked up as the helper's. There are none of them
// here (ENOENT).

#include <fcntl.h>
#include <linux/perf_event.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstddef>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

constexpr std::size_t kPid = 1, kCpu = 2, kGroup = 3, kFlags = 4;
constexpr std::uint32_t kFirstSize = PERF_ATTR_SIZE_VER0;
constexpr std::uint32_t kMaxSize = 4096;    // PAGE_SIZE
constexpr std::size_t kKnownSize = 144;     // of what a policy can name
constexpr std::uint32_t kNoType = INT_MAX;  // for the kernel to say ENOENT when it comes to that
constexpr int kNoDescriptor = INT_MAX;      // for the kernel to say EBADF when it comes to that

class EventPerformer final : public Performer {
 public:
  Scope ScopeOf() const override { return Scope::kIds; }
  bool NeedsStatus() const override { return false; }
  int Prepare(Inputs& inputs, const Surroundings& around) override;
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  // Our duplicate of a descriptor in a register; -1 stands for none.
  static int Duplicate(Inputs& inputs, std::size_t slot);

  std::vector<std::byte> copy_;
  std::uint32_t size_ = 0;  // as the structure says
  int group_ = -1;
  std::optional<int> control_group_;
};

int EventPerformer::Duplicate(Inputs& inputs, std::size_t slot) {
  if (static_cast<int>(inputs.Register(slot)) == -1) return -1;
  auto fd = inputs.Descriptor(slot);
  return fd ? *fd : kNoDescriptor;
}

int EventPerformer::Prepare(Inputs& inputs, const Surroundings&) {
  const std::uint64_t flags = inputs.Register(kFlags);
  const int said =
      inputs.ErrnoOf([&] { return syscall(SYS_perf_event_open, nullptr, 0, -1, -1, flags); });
  if (said != EFAULT) return said;
  auto head = inputs.Copy(inputs.Register(0), kFirstSize);
  if (!head) return head.error();
  static_assert(offsetof(perf_event_attr, size) == 4);
  std::memcpy(&size_, head->data() + offsetof(perf_event_attr, size), sizeof size_);
  copy_ = std::move(*head);
  if (size_ > kFirstSize && size_ <= kMaxSize) {
    auto whole = inputs.Copy(inputs.Register(0), size_);
    if (!whole) return whole.error();
    copy_ = std::move(*whole);
    // It can have changed since it was looked at.
    std::memcpy(copy_.data() + offsetof(perf_event_attr, size), &size_, sizeof size_);
  }
  std::vector<std::byte> seen = copy_;
  if (seen.size() < kKnownSize) seen.resize(kKnownSize);
  inputs.SetBytes(0, std::move(seen));
  group_ = Duplicate(inputs, kGroup);
  if ((flags & PERF_FLAG_PID_CGROUP) != 0) control_group_ = Duplicate(inputs, kPid);
  return 0;
}

Reply EventPerformer::Perform(Inputs& inputs, const Surroundings& around) {
  std::uint32_t type = 0;
  std::memcpy(&type, copy_.data() + offsetof(perf_event_attr, type), sizeof type);
  if (type >= PERF_TYPE_MAX) {
    std::memcpy(copy_.data() + offsetof(perf_event_attr, type), &kNoType, sizeof kNoType);
  }
  auto pid = static_cast<pid_t>(inputs.Register(kPid));
  if (control_group_) {
    pid = *control_group_;
  } else if (pid == 0) {
    pid = inputs.tid();
  } else if (pid > 0 && !around.same_pid_namespace) {
    return Reply::Error(ESRCH);  // its number of another process is not ours
  }
  const std::uint64_t flags = inputs.Register(kFlags);
  const long result =
      syscall(SYS_perf_event_open, copy_.data(), pid, static_cast<int>(inputs.Register(kCpu)),
              group_, flags | PERF_FLAG_FD_CLOEXEC);
  if (result >= 0) {
    return Reply::Descriptor(base::UniqueFd(static_cast<int>(result)),
                             (flags & PERF_FLAG_FD_CLOEXEC) != 0 ? O_CLOEXEC : 0);
  }
  Reply reply = Reply::Error(errno);
  if (reply.errno_value == E2BIG) {
    // The kernel tells what it knows.
    reply.AddOutput(inputs.Register(0) + offsetof(perf_event_attr, size),
                    std::span(copy_).subspan(offsetof(perf_event_attr, size), sizeof size_));
  }
  return reply;
}

}  // namespace

std::unique_ptr<Performer> MakeEventPerformer(std::string_view call) {
  if (call != "perf_event_open") return nullptr;
  return std::make_unique<EventPerformer>();
}

}  // namespace callgate::supervise
