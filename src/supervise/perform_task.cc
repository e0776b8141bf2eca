// How a thread is scheduled, and what a process may use at most: the structure is copied, and the
// call is made for the thread it names.
//
// Scheduling is asked of the effective user, which this thread borrows. Limits are asked of the
// real one, which it does not, so a helper that has all of the caller's ids sets them
// (Scope::kIds).

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <vector>

#include "supervise/perform.h"

namespace callgate::supervise {
namespace {

constexpr int kNone = -1;
constexpr std::uint32_t kFirstSize = 48;  // SCHED_ATTR_SIZE_VER0
constexpr std::uint32_t kKnownSize = 56;  // with sched_util_min and sched_util_max
constexpr std::uint32_t kMaxSize = 4096;  // PAGE_SIZE
constexpr std::size_t kLimitSize = sizeof(rlimit);

enum class What : std::uint8_t { kAttributes, kScheduler, kParameter, kLimit };

struct Layout {
  std::string_view call;
  What what;
  int pid = kNone;  // kNone: of the caller itself
  int structure = 0;
  int old = kNone;  // where the former limit is told
};

constexpr std::array<Layout, 5> kLayouts{{
    {.call = "sched_setattr", .what = What::kAttributes, .pid = 0, .structure = 1},
    {.call = "sched_setscheduler", .what = What::kScheduler, .pid = 0, .structure = 2},
    {.call = "sched_setparam", .what = What::kParameter, .pid = 0, .structure = 1},
    {.call = "prlimit64", .what = What::kLimit, .pid = 0, .structure = 2, .old = 3},
    {.call = "setrlimit", .what = What::kLimit, .structure = 1},
}};

class TaskPerformer final : public Performer {
 public:
  explicit TaskPerformer(const Layout& layout) : layout_(layout) {}

  Scope ScopeOf() const override {
    return layout_.what == What::kLimit ? Scope::kIds : Scope::kUser;
  }
  bool NeedsStatus() const override { return false; }
  int Prepare(Inputs& inputs, const Surroundings& around) override;
  Reply Perform(Inputs& inputs, const Surroundings& around) override;

 private:
  std::size_t Slot() const { return static_cast<std::size_t>(layout_.structure); }
  int PrepareAttributes(Inputs& inputs);
  Reply SetLimit(const Inputs& inputs, pid_t target) const;

  const Layout& layout_;
  std::vector<std::byte> copy_;  // empty: there is no structure
  bool has_wrong_size_ = false;
};

// The structure says how large it is. What of it the caller does not have is zero.
int TaskPerformer::PrepareAttributes(Inputs& inputs) {
  constexpr std::size_t kFlags = 2;
  if (inputs.Register(Slot()) == 0 || static_cast<std::int32_t>(inputs.Register(0)) < 0 ||
      static_cast<std::uint32_t>(inputs.Register(kFlags)) != 0) {
    return EINVAL;
  }
  auto head = inputs.Copy(inputs.Register(Slot()), sizeof(std::uint32_t));
  if (!head) return head.error();
  std::uint32_t size = 0;
  std::memcpy(&size, head->data(), sizeof size);
  if (size == 0) size = kFirstSize;
  if (size < kFirstSize || size > kMaxSize) {
    has_wrong_size_ = true;
    copy_.resize(kKnownSize);
  } else {
    auto whole = inputs.Copy(inputs.Register(Slot()), size);
    if (!whole) return whole.error();
    copy_ = std::move(*whole);
    // It can have changed since it was looked at.
    std::memcpy(copy_.data(), &size, sizeof size);
  }
  std::vector<std::byte> seen = copy_;
  if (seen.size() < kKnownSize) seen.resize(kKnownSize);
  inputs.SetBytes(Slot(), std::move(seen));
  return 0;
}

int TaskPerformer::Prepare(Inputs& inputs, const Surroundings&) {
  switch (layout_.what) {
    case What::kAttributes:
      return PrepareAttributes(inputs);
    case What::kScheduler:
      if (static_cast<std::int32_t>(inputs.Register(1)) < 0) return EINVAL;
      [[fallthrough]];
    case What::kParameter:
      if (inputs.Register(Slot()) == 0 || static_cast<std::int32_t>(inputs.Register(0)) < 0) {
        return EINVAL;
      }
      break;
    case What::kLimit:
      // prlimit64 may only ask.
      if (layout_.old != kNone && inputs.Register(Slot()) == 0) return 0;
      break;
  }
  auto bytes =
      inputs.Bytes(Slot(), layout_.what == What::kLimit ? kLimitSize : sizeof(sched_param));
  if (!bytes) return bytes.error();
  copy_ = std::move(*bytes);
  return 0;
}

Reply TaskPerformer::SetLimit(const Inputs& inputs, pid_t target) const {
  std::size_t resource = layout_.pid == kNone ? 0 : 1;
  std::uint64_t old_at =
      layout_.old == kNone ? 0 : inputs.Register(static_cast<std::size_t>(layout_.old));
  rlimit old{};
  static_assert(sizeof old == 16);
  long result = syscall(SYS_prlimit64, target, static_cast<unsigned>(inputs.Register(resource)),
                        copy_.empty() ? nullptr : copy_.data(), old_at == 0 ? nullptr : &old);
  if (result < 0) return Reply::Error(errno);
  if (old_at == 0) return Reply::Value(0);
  return Reply::Told(0, old_at, std::as_bytes(std::span(&old, 1)));
}

Reply TaskPerformer::Perform(Inputs& inputs, const Surroundings& around) {
  pid_t named = layout_.pid == kNone ? 0 : static_cast<pid_t>(inputs.Register(0));
  // Its number of another process is not ours.
  if (named > 0 && !around.same_pid_namespace) return Reply::Error(ESRCH);
  pid_t target = named == 0 ? inputs.tid() : named;
  long result = 0;
  switch (layout_.what) {
    case What::kLimit:
      return SetLimit(inputs, target);
    case What::kAttributes:
      result = has_wrong_size_ ? -1 : syscall(SYS_sched_setattr, target, copy_.data(), 0);
      if (has_wrong_size_ || (result < 0 && errno == E2BIG)) {
        // The kernel tells what it knows.
        std::uint32_t known = kKnownSize;
        if (!has_wrong_size_) std::memcpy(&known, copy_.data(), sizeof known);
        Reply reply = Reply::Error(E2BIG);
        reply.AddOutput(inputs.Register(Slot()), std::as_bytes(std::span(&known, 1)));
        return reply;
      }
      break;
    case What::kScheduler:
      result = syscall(SYS_sched_setscheduler, target, static_cast<int>(inputs.Register(1)),
                       copy_.data());
      break;
    case What::kParameter:
      result = syscall(SYS_sched_setparam, target, copy_.data());
      break;
  }
  return result < 0 ? Reply::Error(errno) : Reply::Value(0);
}

}  // namespace

std::unique_ptr<Performer> MakeTaskPerformer(std::string_view call) {
  return MakeByRow<TaskPerformer>(kLayouts, call);
}

}  // namespace callgate::supervise
