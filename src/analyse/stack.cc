// Each filter is lifted by itself, then the graphs are merged leaf by leaf. Leaves that stand for
// an undecided place need values that no filter of the stack returns, so they are renumbered first.
// A place that is undecided in one filter is decided after all where another one kills the process:
// nothing outranks that.

#include "analyse/stack.h"

#include <algorithm>
#include <functional>
#include <set>
#include <vector>

#include "abi/action.h"
#include "base/check.h"
#include "graph/combine.h"
#include "graph/reach.h"

namespace callgate::analyse {
namespace {

using graph::NodeId;

// A value whose upper half is no leaf's.
std::uint32_t FreeValue(const std::vector<Lifted>& all, const graph::Pool& pool) {
  std::set<std::uint32_t> used;
  for (const Lifted& one : all) {
    for (const NodeId id : graph::ReachableFrom(pool, one.root)) {
      if (pool[id].is_leaf) used.insert(pool[id].ret_value >> 16);
    }
  }
  std::uint32_t free = 0;
  while (used.contains(free)) ++free;
  CG_CHECK(free < 0x10000);
  return free << 16;
}

}  // namespace

Lifted LiftStack(std::span<const bpf::Program> filters, graph::Pool& pool) {
  CG_CHECK(!filters.empty());
  std::vector<Lifted> all;
  for (const bpf::Program& filter : filters) all.push_back(Lift(filter, pool));
  Lifted stack;
  stack.first_undecided = FreeValue(all, pool);
  for (Lifted& one : all) {
    const auto offset = static_cast<std::uint32_t>(stack.undecided.size());
    one.root = graph::CopyMapped(pool, one.root, pool, [&](std::uint32_t value) {
      if (!one.IsUndecided(value)) return value;
      return stack.first_undecided + offset + (value - one.first_undecided);
    });
    std::ranges::move(one.undecided, std::back_inserter(stack.undecided));
  }
  CG_CHECK(stack.undecided.size() < 0x10000);  // a task's stack has 32768 instructions at most
  stack.root = all.front().root;
  const graph::LeafMerge merge = [&](std::uint32_t older, std::uint32_t newer) {
    const bool is_open = stack.IsUndecided(older) || stack.IsUndecided(newer);
    if (!is_open) return graph::StrictestValue(older, newer);
    const std::uint32_t other = stack.IsUndecided(older) ? newer : older;
    // Whose data would be returned is open too, but nobody looks at it.
    if (other >> 16 == abi::kKillProcess.value() >> 16) return abi::kKillProcess.value();
    return stack.IsUndecided(older) ? older : newer;
  };
  for (std::size_t i = 1; i < all.size(); ++i) {
    stack.root = graph::Combine(pool, stack.root, all[i].root, merge);
  }
  // The value is SECCOMP_RET_ALLOW itself if every filter allows (kernel/seccomp.c,
  // seccomp_run_filters begins with it and takes only what ranks higher).
  stack.root = graph::CopyMapped(pool, stack.root, pool, [](std::uint32_t value) {
    return value >> 16 == abi::kAllow.value() >> 16 ? abi::kAllow.value() : value;
  });
  return stack;
}

}  // namespace callgate::analyse
