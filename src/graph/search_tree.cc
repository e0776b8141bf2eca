// The best tree for a decision by ranges of one word.
//
// With >= alone, n ranges need n - 1 tests, whatever the tree. An == can save one: cutting a single
// value out of a range lets its two neighbours, when they decide the same, merge into one. So
//     0..5 → A, 6 → x, 7..90 → A, 91.. → B
// needs two tests instead of three: [ >= 91 ? B : == 6 ? x : A ]. Cuts behind each other in one
// merged range are a chain of ==, which is short code but a long path.
//
// Dynamic programming over the intervals i..j of the list weighs both: an interval is decided by a
// chain where it has that shape (every other step a single value, the rest the same node), or split
// in two by a >=. The price of a candidate is  tests * kTestPrice + mean path length:  size first,
// but a chain so long that splitting it shortens the mean path by two tests is split. All values
// are equally likely, except in ranges wider than kUsedWidth: those are numbers that nobody has
// given out and weigh like one value, else the way to them would be the shortest.
//
// n^3 steps would hurt on long lists, so these are halved by >= until at most kMaxExact remain;
// each halving loses at most the one test that a cut across it would have saved. Subtrees that
// happen to be equal are shared by the pool; the price does not foresee that.
// Checked: against every tree of small lists for size (search_tree_test.cc), and for meaning by
// reading the steps back.

#include <algorithm>
#include <limits>

#include "base/check.h"
#include "graph/steps.h"

namespace callgate::graph {
namespace {

constexpr std::size_t kMaxExact = 96;
constexpr std::uint64_t kUsedWidth = 4096;
constexpr std::uint64_t kTestPrice = 2;  // one test is worth this many tests on the mean path

class Searcher {
 public:
  Searcher(Pool& pool, std::uint8_t word, std::uint32_t mask, Steps steps)
      : pool_(pool), word_(word), mask_(mask), steps_(std::move(steps)) {}

  NodeId Build(std::size_t first, std::size_t last);

 private:
  struct Choice {
    std::uint64_t price = 0;
    std::size_t split = 0;  // the last step of the left half; kChain: no split
  };
  static constexpr std::size_t kChain = std::numeric_limits<std::size_t>::max();

  std::uint32_t LastValue(std::size_t i) const {
    return i + 1 < steps_.size() ? steps_[i + 1].first - 1 : mask_;
  }
  bool IsSingle(std::size_t i) const { return LastValue(i) == steps_[i].first; }
  std::uint64_t Weight(std::size_t i) const {
    const std::uint64_t width = std::uint64_t{LastValue(i)} - steps_[i].first + 1;
    return width > kUsedWidth ? 1 : width;
  }
  bool IsChain(std::size_t first, std::size_t last) const;
  Choice& ChoiceFor(std::size_t first, std::size_t last) {
    return choices_[(first - base_) * count_ + (last - base_)];
  }
  void Solve(std::size_t first, std::size_t last);
  std::uint64_t ChainPath(std::size_t first, std::size_t last) const;
  NodeId Chain(std::size_t first, std::size_t last);
  NodeId Assemble(std::size_t first, std::size_t last);
  NodeId Split(std::size_t right_first, NodeId left, NodeId right) {
    return pool_.Test({word_, Op::kAtLeast, mask_, steps_[right_first].first}, right, left);
  }

  Pool& pool_;
  std::uint8_t word_;
  std::uint32_t mask_;
  Steps steps_;
  // The table of the exact part being solved: steps base_ .. base_ + count_ - 1.
  std::size_t base_ = 0;
  std::size_t count_ = 0;
  std::vector<Choice> choices_;
};

bool Searcher::IsChain(std::size_t first, std::size_t last) const {
  if ((last - first) % 2 != 0) return false;
  for (std::size_t i = first + 1; i < last; i += 2) {
    if (!IsSingle(i) || steps_[i + 1].node != steps_[first].node) return false;
  }
  return true;
}

// The summed path length of a chain: the single values leave in order, the rest passes them all.
std::uint64_t Searcher::ChainPath(std::size_t first, std::size_t last) const {
  const std::uint64_t length = (last - first) / 2;
  std::uint64_t path = length * Weight(first);
  for (std::size_t i = first + 1; i < last; i += 2) {
    path += (i - first + 1) / 2 * Weight(i) + length * Weight(i + 1);
  }
  return path;
}

void Searcher::Solve(std::size_t first, std::size_t last) {
  base_ = first;
  count_ = last - first + 1;
  choices_.assign(count_ * count_, {});
  std::vector<std::uint64_t> weight_before(count_ + 1, 0);
  for (std::size_t i = 0; i < count_; ++i) {
    weight_before[i + 1] = weight_before[i] + Weight(first + i);
  }
  const std::uint64_t test_price = kTestPrice * weight_before[count_];
  for (std::size_t length = 2; length <= count_; ++length) {
    for (std::size_t i = first; i + length <= last + 1; ++i) {
      const std::size_t j = i + length - 1;
      Choice best{std::numeric_limits<std::uint64_t>::max(), kChain};
      for (std::size_t k = i; k < j; ++k) {
        const std::uint64_t price = ChoiceFor(i, k).price + ChoiceFor(k + 1, j).price;
        if (price < best.price) best = {price, k};
      }
      best.price += test_price + weight_before[j + 1 - first] - weight_before[i - first];
      if (IsChain(i, j)) {
        const std::uint64_t price = (length - 1) / 2 * test_price + ChainPath(i, j);
        if (price <= best.price) best = {price, kChain};
      }
      ChoiceFor(i, j) = best;
    }
  }
}

NodeId Searcher::Chain(std::size_t first, std::size_t last) {
  NodeId node = steps_[first].node;
  // Odd offsets, from the last to the first: the chain tests them in ascending order.
  for (std::size_t i = last; i > first; i -= 2) {
    node = pool_.Test({word_, Op::kEqual, mask_, steps_[i - 1].first}, steps_[i - 1].node, node);
  }
  return node;
}

NodeId Searcher::Assemble(std::size_t first, std::size_t last) {
  if (first == last) return steps_[first].node;
  const std::size_t split = ChoiceFor(first, last).split;
  if (split == kChain) return Chain(first, last);
  const NodeId left = Assemble(first, split);
  const NodeId right = Assemble(split + 1, last);
  return Split(split + 1, left, right);
}

// Recursion is at most log2(4 * 10^9) + kMaxExact deep.
NodeId Searcher::Build(std::size_t first, std::size_t last) {
  const std::size_t count = last - first + 1;
  if (count > kMaxExact) {
    const std::size_t middle = first + count / 2;
    const NodeId left = Build(first, middle - 1);
    const NodeId right = Build(middle, last);
    return Split(middle, left, right);
  }
  Solve(first, last);
  return Assemble(first, last);
}

}  // namespace

NodeId SearchTree(Pool& pool, std::uint8_t word, std::uint32_t mask, std::span<const Step> steps) {
  CG_CHECK(!steps.empty() && steps.front().first == 0);
  Steps distinct;
  for (const Step& step : steps) {
    // The masked word is never larger than its mask.
    if (step.first > mask) break;
    if (distinct.empty() || distinct.back().node != step.node) distinct.push_back(step);
  }
  const std::size_t last = distinct.size() - 1;
  return Searcher(pool, word, mask, std::move(distinct)).Build(0, last);
}

}  // namespace callgate::graph
