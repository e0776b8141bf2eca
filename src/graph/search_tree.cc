// A good tree for a decision by ranges of one word.
//
// With >= alone, n ranges need n - 1 tests, whatever the tree. An == can save one: cutting a single
// value out of a range lets its two neighbours, when they decide the same, merge into one. So
//     0..5 → A, 6 → x, 7..90 → A, 91.. → B
// needs two tests instead of three: [ >= 91 ? B : == 6 ? x : A ]. An interval of the list in which
// all but some single values decide the same is a *chain* of ==, the most looked-for first: short
// code, but a long path for the rest.
//
// Dynamic programming over the intervals i..j weighs both by TreePrice: an interval is a chain,
// where it has that shape, or split in two by a >=. It knows no tree that has an == above a >=, and
// that is what a value wants that is looked for more often than all others of its interval. So when
// the tree is put together, the heaviest single value of each interval is tried in front: if what
// is left, neighbours merged, plus the test in front is cheaper, it is taken. With even weights
// that never happens; with a profile, hot calls rise to the top ("hot first").
//
// Every split of every interval would be n^3 steps. As in Knuth's optimal search trees the best
// split of i..j is looked for between those of i..j-1 and i+1..j, which makes n^2. With chains that
// is no longer provably the best; kSlack more on both sides bring back most of what it loses.
// Longer lists are halved by >= until at most kMaxExact
// remain; each halving loses at most the one test that a cut across it would have saved. Subtrees
// that happen to be equal are shared by the pool; the price does not foresee that.
//
// Checked: against every tree of small lists for price, and for meaning by reading the steps back.

#include "graph/search_tree.h"

#include <algorithm>
#include <array>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/check.h"

namespace callgate::graph {
namespace {

using Price = std::uint64_t;

constexpr std::size_t kMaxExact = 128;
constexpr std::size_t kMaxChain = 16;
constexpr std::size_t kSlack = 1;
constexpr Price kImpossible = std::numeric_limits<Price>::max();

struct Entry {
  std::uint32_t first = 0;
  std::uint32_t last = 0;
  NodeId node = 0;
  std::uint64_t weight = 0;

  bool IsSingle() const { return first == last; }
};

class Searcher {
 public:
  Searcher(Pool& pool, std::uint8_t word, std::uint32_t mask, Price test_price)
      : pool_(pool), word_(word), mask_(mask), test_price_(test_price) {}

  NodeId Build(std::span<const Entry> entries);

 private:
  struct Choice {
    std::uint8_t split;  // the best split's last entry on the left
    bool is_chain;
  };
  // The solved table of one list; indices are into that list. A search for a split reads prices
  // with one first and prices with one last entry. Either lie side by side: the price of i..j
  // stands in row i, column j and in row j, column i.
  class Table {
   public:
    explicit Table(std::span<const Entry> list)
        : entries(list),
          prices_(std::make_unique_for_overwrite<Price[]>(list.size() * list.size())),
          choices_(std::make_unique_for_overwrite<Choice[]>(list.size() * list.size())) {}

    Price* PricesAt(std::size_t first_or_last) { return &prices_[first_or_last * entries.size()]; }
    Choice* ChoicesFrom(std::size_t first) { return &choices_[first * entries.size()]; }
    Price PriceAt(std::size_t first, std::size_t last) const {
      return prices_[first * entries.size() + last];
    }
    Choice ChoiceAt(std::size_t first, std::size_t last) const {
      return choices_[first * entries.size() + last];
    }

    std::span<const Entry> entries;

   private:
    std::unique_ptr<Price[]> prices_;
    std::unique_ptr<Choice[]> choices_;
  };
  using ChainPrices = std::vector<Price>;  // by last entry

  Table Solve(std::span<const Entry> entries) const;
  void PriceChainsFrom(std::span<const Entry> entries, std::size_t first, std::size_t wide,
                       ChainPrices& prices) const;
  void PriceChains(std::span<const Entry> entries, std::size_t first, NodeId rest, std::size_t from,
                   ChainPrices& prices) const;
  NodeId Assemble(const Table& table, std::size_t first, std::size_t last);
  std::optional<NodeId> HeaviestInFront(const Table& table, std::size_t first, std::size_t last);
  NodeId Chain(std::span<const Entry> entries);
  NodeId AtLeast(std::uint32_t bound, NodeId yes, NodeId no) {
    return pool_.Test({word_, Op::kAtLeast, mask_, bound}, yes, no);
  }
  NodeId Equal(std::uint32_t value, NodeId yes, NodeId no) {
    return pool_.Test({word_, Op::kEqual, mask_, value}, yes, no);
  }

  Pool& pool_;
  std::uint8_t word_;
  std::uint32_t mask_;
  Price test_price_;
};

std::uint64_t WeightOf(std::span<const Entry> entries) {
  std::uint64_t weight = 0;
  for (const Entry& entry : entries) weight += entry.weight;
  return weight;
}

// What is left of the entries when the one at `index` has been answered: its value may go with
// either neighbour, and neighbours that decide the same become one.
std::vector<Entry> Without(std::span<const Entry> entries, std::size_t index) {
  std::vector<Entry> rest;
  for (std::size_t i = 0; i < entries.size(); ++i) {
    if (i == index) continue;
    if (!rest.empty() && rest.back().node == entries[i].node) {
      rest.back().last = entries[i].last;
      rest.back().weight += entries[i].weight;
    } else {
      rest.push_back(entries[i]);
    }
    if (i + 1 == index) rest.back().last = entries[index].last;
  }
  if (index == 0) rest.front().first = entries[0].first;
  return rest;
}

// Enters the price of the chains from `first` to `from` and each later entry, whose rest is `rest`.
void Searcher::PriceChains(std::span<const Entry> entries, std::size_t first, NodeId rest,
                           std::size_t from, ChainPrices& prices) const {
  std::array<std::uint64_t, kMaxChain> singles{};  // their weights, heaviest first
  std::size_t count = 0;
  std::uint64_t rest_weight = 0;
  for (std::size_t i = first; i < entries.size(); ++i) {
    const Entry& entry = entries[i];
    if (entry.node == rest) {
      rest_weight += entry.weight;
    } else if (entry.IsSingle() && count < kMaxChain) {
      std::size_t place = count++;
      for (; place > 0 && singles[place - 1] < entry.weight; --place) {
        singles[place] = singles[place - 1];
      }
      singles[place] = entry.weight;
    } else {
      return;
    }
    if (i < from) continue;
    Price price = count * (test_price_ + rest_weight);
    for (std::size_t k = 0; k < count; ++k) price += (k + 1) * singles[k];
    prices[i] = price;
  }
}

// An interval is a chain if its wide entries decide the same. If it has none, the first entry is
// taken for the rest. `wide` is the first wide entry not before `first`.
void Searcher::PriceChainsFrom(std::span<const Entry> entries, std::size_t first, std::size_t wide,
                               ChainPrices& prices) const {
  std::ranges::fill(prices, kImpossible);
  if (wide > first + 1) {
    PriceChains(entries.first(wide), first, entries[first].node, first + 1, prices);
  }
  if (wide < entries.size()) {
    PriceChains(entries, first, entries[wide].node, std::max(wide, first + 1), prices);
  }
}

Searcher::Table Searcher::Solve(std::span<const Entry> entries) const {
  const std::size_t count = entries.size();
  Table table(entries);
  ChainPrices chains(count);
  std::vector<std::uint64_t> weight_before(count + 1, 0);
  for (std::size_t i = 0; i < count; ++i) {
    weight_before[i + 1] = weight_before[i] + entries[i].weight;
  }
  const Price test_price = test_price_;
  std::size_t wide = count;
  for (std::size_t i = count; i-- > 0;) {
    if (!entries[i].IsSingle()) wide = i;
    PriceChainsFrom(entries, i, wide, chains);
    Price* const from_i = table.PricesAt(i);
    Choice* const choices = table.ChoicesFrom(i);
    const Choice* const later_choices = i + 1 < count ? table.ChoicesFrom(i + 1) : nullptr;
    Price* to_j = from_i;
    from_i[i] = 0;
    Choice shorter = choices[i] = {static_cast<std::uint8_t>(i), false};
    const Price without_weights_after = test_price - weight_before[i];
    for (std::size_t j = i + 1; j < count; ++j) {
      to_j += count;
      const Choice later = later_choices[j];
      const std::size_t low = std::min(shorter.split, later.split);
      const std::size_t high = std::max(shorter.split, later.split);
      Price best = kImpossible;
      std::size_t best_split = i;
      auto consider = [&](std::size_t k) {
        const Price price = from_i[k] + to_j[k + 1];
        best_split = price < best ? k : best_split;
        best = std::min(best, price);
      };
      const std::size_t last = std::min(high + kSlack, j - 1);
      for (std::size_t k = low > i + kSlack ? low - kSlack : i; k <= last; ++k) consider(k);
      // A chain has no split to go by.
      if (shorter.is_chain) consider(j - 1);
      if (later.is_chain) consider(i);
      best += without_weights_after + weight_before[j + 1];
      const bool is_chain = chains[j] <= best;
      from_i[j] = to_j[i] = std::min(chains[j], best);
      shorter = choices[j] = {static_cast<std::uint8_t>(best_split), is_chain};
    }
  }
  return table;
}

NodeId Searcher::Chain(std::span<const Entry> entries) {
  // As PriceChainsFrom: the first wide entry is the rest, else the first entry.
  const auto wide = std::ranges::find_if_not(entries, &Entry::IsSingle);
  NodeId node = (wide == entries.end() ? entries.front() : *wide).node;
  std::vector<Entry> singles;
  for (const Entry& entry : entries) {
    if (entry.node != node) singles.push_back(entry);
  }
  std::ranges::stable_sort(singles, std::greater<>(), &Entry::weight);
  for (std::size_t i = singles.size(); i-- > 0;) {
    node = Equal(singles[i].first, singles[i].node, node);
  }
  return node;
}

std::optional<NodeId> Searcher::HeaviestInFront(const Table& table, std::size_t first,
                                                std::size_t last) {
  const auto interval = table.entries.subspan(first, last - first + 1);
  std::optional<std::size_t> heaviest;
  for (std::size_t i = 0; i < interval.size(); ++i) {
    if (!interval[i].IsSingle()) continue;
    if (!heaviest || interval[i].weight > interval[*heaviest].weight) heaviest = i;
  }
  if (!heaviest || interval.size() < 3) return std::nullopt;
  const std::uint64_t weight = interval[*heaviest].weight;
  std::uint64_t depth = 0;
  for (std::size_t i = first, j = last, k = first + *heaviest; i != j;) {
    const auto [split, is_chain] = table.ChoiceAt(i, j);
    if (is_chain) break;
    ++depth;
    (k <= split ? j : i) = k <= split ? split : split + 1U;
  }
  // A cheap guess before all is solved anew. Were its test not in front but the last one before the
  // leaf that takes its value in what is left, then only that leaf would pay for it; so it must be
  // worth more there than what all others pay in front.
  const std::size_t before = *heaviest == 0 ? 1 : *heaviest - 1;
  const std::size_t after = *heaviest + 1 == interval.size() ? before : *heaviest + 1;
  std::uint64_t leaf = interval[before].weight;
  if (after != before && interval[after].node == interval[before].node)
    leaf += interval[after].weight;
  const std::uint64_t total = WeightOf(interval);
  if (weight * (depth + 1) + leaf <= total) return std::nullopt;
  const std::vector<Entry> rest = Without(interval, *heaviest);
  const Table rest_table = Solve(rest);
  const Price price = rest_table.PriceAt(0, rest.size() - 1) + test_price_ + total;
  if (price >= table.PriceAt(first, last)) return std::nullopt;
  const NodeId node = Assemble(rest_table, 0, rest.size() - 1);
  return Equal(interval[*heaviest].first, interval[*heaviest].node, node);
}

// Recursion ends: each step works on fewer entries.
NodeId Searcher::Assemble(const Table& table, std::size_t first, std::size_t last) {
  if (first == last) return table.entries[first].node;
  const Choice choice = table.ChoiceAt(first, last);
  if (choice.is_chain) return Chain(table.entries.subspan(first, last - first + 1));
  if (const auto node = HeaviestInFront(table, first, last)) return *node;
  const std::size_t split = choice.split;
  const NodeId left = Assemble(table, first, split);
  const NodeId right = Assemble(table, split + 1, last);
  return AtLeast(table.entries[split + 1].first, right, left);
}

NodeId Searcher::Build(std::span<const Entry> entries) {
  if (entries.size() > kMaxExact) {
    const std::size_t middle = entries.size() / 2;
    const NodeId left = Build(entries.subspan(0, middle));
    const NodeId right = Build(entries.subspan(middle));
    return AtLeast(entries[middle].first, right, left);
  }
  const Table table = Solve(entries);
  return Assemble(table, 0, entries.size() - 1);
}

NodeId Balanced(Pool& pool, std::uint8_t word, std::span<const Step> steps) {
  if (steps.size() == 1) return steps.front().node;
  const std::size_t middle = steps.size() / 2;
  const NodeId left = Balanced(pool, word, steps.subspan(0, middle));
  const NodeId right = Balanced(pool, word, steps.subspan(middle));
  return pool.Test({word, Op::kAtLeast, UINT32_MAX, steps[middle].first}, right, left);
}

}  // namespace

NodeId RangeTree(Pool& pool, std::uint8_t word, std::span<const Step> steps) {
  CG_CHECK(!steps.empty());
  Steps distinct(steps.begin(), steps.end());
  const auto repeated = std::ranges::unique(distinct, {}, &Step::node);
  distinct.erase(repeated.begin(), repeated.end());
  return Balanced(pool, word, distinct);
}

NodeId SearchTree(Pool& pool, std::uint8_t word, std::uint32_t mask, std::span<const Step> steps,
                  const TreePrice& price) {
  CG_CHECK(!steps.empty() && steps.front().first == 0);
  CG_CHECK(price.weights.empty() || price.weights.size() == steps.size());
  std::vector<Entry> entries;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    // The masked word is never larger than its mask.
    if (steps[i].first > mask) break;
    const std::uint64_t weight = price.weights.empty() ? 1 : price.weights[i];
    if (entries.empty() || entries.back().node != steps[i].node) {
      if (!entries.empty()) entries.back().last = steps[i].first - 1;
      entries.push_back({steps[i].first, mask, steps[i].node, weight});
    } else {
      entries.back().weight += weight;
    }
  }
  const Price test_price = (WeightOf(entries) * price.test_price + 63) / 64;
  return Searcher(pool, word, mask, test_price).Build(entries);
}

}  // namespace callgate::graph
