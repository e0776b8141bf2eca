// Since Linux 5.1 a new system call has one number on all ABIs, from 424 (pidfd_send_signal) on. So
// what the number searches of two ABIs decide up there is the same list, and the tree for it need
// exist only once. x32 has the same numbers with bit 30 set: a search that looks at nr without that
// bit, (nr & 0xbfffffff) >= n, serves it too. An ABI that comes there must not have numbers with
// bit 30 that decide otherwise, which would alias; x86_64 has none, since they are x32's, and for
// every other ABI a test of the bit stands in front.
//
// It costs the AND, once, for calls with such numbers, so it is only done for runs of kWorthIt
// steps and more that at least two ABIs share. The kernel's search for constant allows follows an
// AND, so nothing is lost there. With Docker's profile for three ABIs it saves 24 of 219
// instructions.

#include "codegen/share_runs.h"

#include <algorithm>
#include <optional>
#include <span>
#include <vector>

#include "abi/arch.h"
#include "codegen/regions.h"
#include "graph/search_tree.h"

namespace callgate::codegen {
namespace {

using graph::NodeId;
using graph::Pool;
using graph::Step;
using graph::Steps;

constexpr std::size_t kWorthIt = 8;
constexpr std::uint32_t kWithoutX32Bit = ~abi::kX32Bit;

bool IsX86(std::optional<std::uint32_t> arch) {
  return arch == abi::ArchOf(abi::ArchId::kX86_64).audit_arch;
}

// Numbers of one ABI within a region.
struct Block {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
};

std::vector<Block> BlocksOf(std::optional<std::uint32_t> arch) {
  if (!IsX86(arch)) return {{0, abi::kX32Bit - 1}};
  return {{0, abi::kX32Bit - 1}, {abi::kX32Bit, abi::kX32Last}};
}

// The steps from `first` to `last`, counted from there.
Steps Cut(const Steps& steps, std::uint32_t first, std::uint32_t last) {
  Steps cut;
  for (std::size_t i = 0; i < steps.size() && steps[i].first <= last; ++i) {
    const bool ends_before = i + 1 < steps.size() && steps[i + 1].first <= first;
    if (!ends_before) cut.push_back({std::max(steps[i].first, first) - first, steps[i].node});
  }
  return cut;
}

// Marks, in place of a node, what the n-th run taken out was replaced by.
constexpr NodeId kFirstMark = 0x80000000;

// The longest list of steps that stands in both.
std::span<const Step> LongestCommonRun(const Steps& a, const Steps& b) {
  std::span<const Step> best;
  std::size_t length = 0;  // of the run that ends before a[i] and b[j]
  std::size_t j = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    for (; j < b.size() && b[j].first < a[i].first; ++j) length = 0;
    if (j == b.size()) break;
    const bool is_common = a[i] == b[j] && a[i].node < kFirstMark;
    length = is_common ? length + 1 : 0;
    if (b[j].first == a[i].first) ++j;
    if (length > best.size()) best = std::span(a).subspan(i + 1 - length, length);
  }
  return best;
}

// Where the run begins in the list.
std::optional<std::size_t> Find(const Steps& list, std::span<const Step> run) {
  const auto begin = std::ranges::lower_bound(list, run.front().first, {}, &Step::first);
  const auto left = static_cast<std::size_t>(list.end() - begin);
  if (left < run.size() || !std::equal(run.begin(), run.end(), begin)) return std::nullopt;
  return static_cast<std::size_t>(begin - list.begin());
}

void TakeOut(Steps& list, const Steps& run, NodeId mark) {
  const auto begin = Find(list, run);
  if (!begin) return;
  const auto place = list.begin() + static_cast<std::ptrdiff_t>(*begin);
  place->node = mark;
  list.erase(std::next(place), place + static_cast<std::ptrdiff_t>(run.size()));
}

// The run that saves most. Empty: none is worth it.
Steps BestRun(const std::vector<Steps>& lists) {
  Steps best;
  std::size_t best_gain = 0;
  for (std::size_t i = 0; i < lists.size(); ++i) {
    for (std::size_t j = i + 1; j < lists.size(); ++j) {
      const std::span<const Step> run = LongestCommonRun(lists[i], lists[j]);
      if (run.size() < kWorthIt) continue;
      const auto sharers = static_cast<std::size_t>(std::ranges::count_if(
          lists, [&](const Steps& list) { return Find(list, run).has_value(); }));
      const std::size_t gain = (sharers - 1) * run.size();
      if (gain <= best_gain) continue;
      best.assign(run.begin(), run.end());
      best_gain = gain;
    }
  }
  return best;
}

// The runs to share, the most useful first.
std::vector<Steps> RunsToShare(const graph::Graph& graph) {
  std::vector<Steps> lists;
  for (const Region& region : RegionsOf(graph)) {
    if (region.word != abi::kNrWord || !region.arch) continue;
    for (const Block& block : BlocksOf(region.arch)) {
      lists.push_back(Cut(region.before, block.first, block.last));
    }
  }
  std::vector<Steps> runs;
  for (Steps run = BestRun(lists); !run.empty(); run = BestRun(lists)) {
    const NodeId mark = kFirstMark + static_cast<NodeId>(runs.size());
    for (Steps& list : lists) TakeOut(list, run, mark);
    runs.push_back(std::move(run));
  }
  return runs;
}

// The steps of one block, counted from its first number, with searches in place of runs.
Steps UseRuns(Pool& pool, const Region& region, const Steps& steps, const Block& block,
              const std::vector<Steps>& runs, const CallWeights& weights) {
  Steps before = Cut(region.before, block.first, block.last);
  Steps after = Cut(steps, block.first, block.last);
  for (std::size_t i = 0; i < runs.size(); ++i) {
    const Steps& run = runs[i];
    const auto begin = Find(before, run);
    if (!begin) continue;
    const auto from = after.begin() + static_cast<std::ptrdiff_t>(*begin);
    const auto to = from + static_cast<std::ptrdiff_t>(run.size());
    Steps list(from, to == after.end() ? to : std::next(to));  // with what bounds its last step
    std::vector<std::uint64_t> list_weights = weights.Of(pool, list, region.arch);
    list.resize(run.size());
    list_weights.resize(run.size());
    list.front().first = 0;  // numbers before the run never come here
    const std::uint32_t price = list.size() <= kFewSteps ? kTestPriceOfFew : kTestPriceOfNumbers;
    from->node = graph::SearchTree(pool, abi::kNrWord, kWithoutX32Bit, list, {list_weights, price});
    after.erase(std::next(from), to);
    TakeOut(before, run, kFirstMark + static_cast<NodeId>(i));
  }
  return after;
}

std::optional<NodeId> Rebuild(Pool& pool, const Region& region, const Steps& steps,
                              const std::vector<Steps>& runs, const CallWeights& weights) {
  if (region.word != abi::kNrWord || !region.arch) return std::nullopt;
  Steps all;
  std::uint32_t next = 0;  // numbers before it are in `all`
  for (const Block& block : BlocksOf(region.arch)) {
    for (Step step : UseRuns(pool, region, steps, block, runs, weights)) {
      step.first += block.first;
      all.push_back(step);
    }
    next = block.last + 1;
  }
  for (Step step : Cut(steps, next, UINT32_MAX)) {
    step.first += next;
    all.push_back(step);
  }
  return graph::RangeTree(pool, abi::kNrWord, all);
}

}  // namespace

graph::Graph ShareRuns(const graph::Graph& graph, const CallWeights& weights) {
  const std::vector<Steps> runs = RunsToShare(graph);
  if (runs.empty()) return graph;
  return ImproveRegions(graph, [&](Pool& pool, const Region& region, const Steps& steps) {
    return Rebuild(pool, region, steps, runs, weights);
  });
}

}  // namespace callgate::codegen
