// Which pairs of decisions meet on some call?
//
// A state is a pair of nodes, one of each graph, and for every word that is still to be tested at
// or below them the set of values it can have. Words are independent of each other, so a state can
// be reached by a call exactly if none of its sets is empty: there are no infeasible states, and a
// pair of leaves that is met is met by a call that can be written down.
//
// From a state one word is taken and both graphs are followed through all their tests of that word
// that hang together, the word's values flowing along: pairs of nodes are visited by descending
// ids, values that come to a pair by several ways are united there, and a pair where neither graph
// tests the word is the next state. So the number dispatch of two filters costs one visit for each
// pair of tests whose ranges overlap, not one for each number, and argument rules are compared once
// for each pair of rules that share a number, not once for each way to them: what is no longer
// tested below is not part of the state.
//
// Where a word is met for the first time and tested by value, both graphs are read as step
// functions and merged like sorted lists (graph/steps.h): the same pairs, without a set for each
// test on the way. That is the number dispatch, most of the work in comparing a compile with its
// source.
//
// The architecture goes first, then the number, wherever both graphs allow it: regions then read as
// "on x86_64, for these numbers".
//
// Meetings are collected from the leaves upwards over the states found. Everything is a loop over
// lists: graphs may be deep. The number of states can be exponential where the graphs test the same
// words again and again in different orders; max_steps ends that.
// Checked by enumeration in product_test.cc, and against interpreted programs in compare_test.cc.

#include "analyse/product.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "base/check.h"
#include "graph/reach.h"
#include "graph/steps.h"

namespace callgate::analyse {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Pool;

using WordMask = std::uint16_t;  // bit n: word n

struct Constraint {
  std::uint8_t word = 0;
  WordSets::Set set = WordSets::kAll;

  auto operator<=>(const Constraint&) const = default;
};
using Context = std::vector<Constraint>;  // sorted by word; words not here may have any value
using ContextId = std::uint32_t;
using StateId = std::uint32_t;

struct Pair {
  NodeId a = 0;
  NodeId b = 0;

  bool operator==(const Pair&) const = default;
};

// Parents first: whoever is followed has a smaller id, so the sum goes down.
struct ParentsFirst {
  bool operator()(const Pair& x, const Pair& y) const {
    const std::uint64_t x_sum = std::uint64_t{x.a} + x.b;
    const std::uint64_t y_sum = std::uint64_t{y.a} + y.b;
    return x_sum != y_sum ? x_sum > y_sum : x.a > y.a;
  }
};

struct Edge {
  WordSets::Set set = WordSets::kNone;  // of the state's word
  StateId to = 0;
};

struct State {
  Pair pair;
  ContextId context = 0;
  std::uint8_t word = 0;
  std::vector<Edge> edges;
};

struct StateKey {
  Pair pair;
  ContextId context;

  bool operator==(const StateKey&) const = default;
};
struct StateKeyHash {
  std::size_t operator()(const StateKey& key) const {
    std::uint64_t hash = (std::uint64_t{key.pair.a} << 32 | key.pair.b) * 0x9e3779b97f4a7c15;
    hash = (hash ^ hash >> 32 ^ key.context) * 0xd6e8feb86659fd93;
    return hash ^ hash >> 32;
  }
};

class Multiplier {
 public:
  Multiplier(const Pool& pool, const Classify& classify, bool same_is_dull,
             const ProductLimits& limits)
      : pool_(pool),
        classify_(classify),
        same_is_dull_(same_is_dull),
        limits_(limits),
        product_(limits.max_steps * 32) {}

  Product Run(NodeId a, NodeId b);

 private:
  using Arrivals = std::map<Pair, WordSets::Set, ParentsFirst>;

  void FindLiveWords(NodeId a, NodeId b);
  std::uint8_t ChooseWord(const Pair& pair) const;
  void Expand(StateId id);
  std::vector<Edge> MergeSteps(const Pair& pair, std::uint8_t word, Context& context,
                               WordSets::Set& set);
  void Follow(const Pair& pair, WordSets::Set set, std::uint8_t word, Arrivals& arrivals);
  StateId StateAt(const Pair& pair, const Context& context);
  void CollectMeetings();
  bool GaveUp() const { return product_.steps > limits_.max_steps || product_.sets.Exhausted(); }

  const Pool& pool_;
  const Classify& classify_;
  bool same_is_dull_;
  const ProductLimits& limits_;
  Product product_;
  std::vector<WordMask> live_;  // words tested at or below a node
  std::vector<Context> contexts_;
  std::map<Context, ContextId> context_ids_;
  std::vector<State> states_;
  std::unordered_map<StateKey, StateId, StateKeyHash> state_ids_;
};

void Multiplier::FindLiveWords(NodeId a, NodeId b) {
  live_.assign(std::max(a, b) + std::size_t{1}, 0);
  for (const NodeId root : {a, b}) {
    for (const NodeId id : graph::ReachableFrom(pool_, root)) {
      const Node& node = pool_[id];
      if (node.is_leaf) continue;
      live_[id] =
          live_[node.yes] | live_[node.no] | static_cast<WordMask>(1U << node.predicate.word);
    }
  }
}

std::uint8_t Multiplier::ChooseWord(const Pair& pair) const {
  const Node& a = pool_[pair.a];
  const Node& b = pool_[pair.b];
  if (a.is_leaf) return b.predicate.word;
  if (b.is_leaf) return a.predicate.word;
  for (const std::uint8_t first : {abi::kArchWord, abi::kNrWord}) {
    if (a.predicate.word == first || b.predicate.word == first) return first;
  }
  return std::min(a.predicate.word, b.predicate.word);
}

StateId Multiplier::StateAt(const Pair& pair, const Context& context) {
  const WordMask live = live_[pair.a] | live_[pair.b];
  Context relevant;
  for (const Constraint& constraint : context) {
    const bool matters = (live >> constraint.word & 1) != 0 && constraint.set != WordSets::kAll;
    if (matters) relevant.push_back(constraint);
  }
  const auto [entry, is_new_context] =
      context_ids_.try_emplace(std::move(relevant), static_cast<ContextId>(contexts_.size()));
  if (is_new_context) contexts_.push_back(entry->first);
  const auto [state, is_new] =
      state_ids_.try_emplace({pair, entry->second}, static_cast<StateId>(states_.size()));
  if (is_new) states_.push_back({pair, entry->second, 0, {}});
  return state->second;
}

void Multiplier::Follow(const Pair& pair, WordSets::Set set, std::uint8_t word,
                        Arrivals& arrivals) {
  const Node& a = pool_[pair.a];
  const Node& b = pool_[pair.b];
  const bool a_moves = !a.is_leaf && a.predicate.word == word;
  const bool b_moves =
      !b.is_leaf && b.predicate.word == word && (!a_moves || b.predicate == a.predicate);
  const auto [yes, no] = product_.sets.Split(set, a_moves ? a.predicate : b.predicate);
  auto arrive = [&](bool truth, WordSets::Set values) {
    if (values == WordSets::kNone) return;
    const Pair to = {a_moves ? truth ? a.yes : a.no : pair.a,
                     b_moves ? truth ? b.yes : b.no : pair.b};
    if (same_is_dull_ && to.a == to.b) return;
    WordSets::Set& there = arrivals[to];
    there = product_.sets.Union(there, values);
  };
  arrive(true, yes);
  arrive(false, no);
}

// `set` is the word's place in `context`.
std::vector<Edge> Multiplier::MergeSteps(const Pair& pair, std::uint8_t word, Context& context,
                                         WordSets::Set& set) {
  const graph::Steps a = graph::StepsOf(pool_, pair.a, word);
  const graph::Steps b = graph::StepsOf(pool_, pair.b, word);
  product_.steps += a.size() + b.size();
  Arrivals exits;
  std::size_t i = 0;
  std::size_t j = 0;
  for (std::uint64_t first = 0; first <= UINT32_MAX;) {
    const std::uint64_t a_end = i + 1 < a.size() ? a[i + 1].first : std::uint64_t{1} << 32;
    const std::uint64_t b_end = j + 1 < b.size() ? b[j + 1].first : std::uint64_t{1} << 32;
    const std::uint64_t end = std::min(a_end, b_end);
    const Pair exit = {a[i].node, b[j].node};
    if (!same_is_dull_ || exit.a != exit.b) {
      WordSets::Set& there = exits[exit];
      there = product_.sets.Union(there, product_.sets.Range(static_cast<std::uint32_t>(first),
                                                             static_cast<std::uint32_t>(end - 1)));
    }
    if (a_end == end) ++i;
    if (b_end == end) ++j;
    first = end;
  }
  std::vector<Edge> edges;
  for (const auto& [exit, values] : exits) {
    set = values;
    edges.push_back({values, StateAt(exit, context)});
  }
  return edges;
}

void Multiplier::Expand(StateId id) {
  const Pair pair = states_[id].pair;
  if (pool_[pair.a].is_leaf && pool_[pair.b].is_leaf) return;
  Context context = contexts_[states_[id].context];
  const std::uint8_t word = ChooseWord(pair);
  auto constraint = std::ranges::lower_bound(context, word, {}, &Constraint::word);
  if (constraint == context.end() || constraint->word != word) {
    constraint = context.insert(constraint, {word, WordSets::kAll});
  }
  auto tests_word = [&](NodeId node) {
    return !pool_[node].is_leaf && pool_[node].predicate.word == word;
  };
  const bool by_value =
      graph::TestsValueOf(pool_[pair.a], word) || graph::TestsValueOf(pool_[pair.b], word);
  if (by_value && constraint->set == WordSets::kAll) {
    std::vector<Edge> merged = MergeSteps(pair, word, context, constraint->set);
    states_[id].word = word;
    states_[id].edges = std::move(merged);
    return;
  }
  std::vector<Edge> edges;
  Arrivals arrivals;
  arrivals[pair] = constraint->set;
  while (!arrivals.empty() && !GaveUp()) {
    const auto arrival = arrivals.extract(arrivals.begin());
    ++product_.steps;
    if (tests_word(arrival.key().a) || tests_word(arrival.key().b)) {
      Follow(arrival.key(), arrival.mapped(), word, arrivals);
      continue;
    }
    constraint->set = arrival.mapped();
    edges.push_back({arrival.mapped(), StateAt(arrival.key(), context)});
  }
  states_[id].word = word;
  states_[id].edges = std::move(edges);
}

void Multiplier::CollectMeetings() {
  std::vector<StateId> order(states_.size());
  for (StateId id = 0; id < order.size(); ++id) order[id] = id;
  std::ranges::sort(order, [&](StateId x, StateId y) {
    return ParentsFirst()(states_[y].pair, states_[x].pair);
  });
  std::vector<std::vector<Meeting>> found(states_.size());
  for (const StateId id : order) {
    const State& state = states_[id];
    const Node& a = pool_[state.pair.a];
    const Node& b = pool_[state.pair.b];
    if (a.is_leaf && b.is_leaf) {
      const std::uint8_t kind = classify_(a.ret_value, b.ret_value);
      CG_CHECK(kind < kMeetingKinds);
      if (kind != 0) found[id].push_back({kind, a.ret_value, b.ret_value, {}});
      continue;
    }
    std::array<std::size_t, kMeetingKinds> count{};
    for (const Edge& edge : state.edges) {
      for (const Meeting& meeting : found[edge.to]) {
        if (count[meeting.kind]++ >= limits_.max_meetings) continue;
        found[id].push_back(meeting);
        WordSets::Set& set = found[id].back().region.words[state.word];
        // Below, the same word may have been narrowed further.
        if (set == WordSets::kAll) set = edge.set;
      }
    }
  }
  product_.meetings = std::move(found.front());
}

Product Multiplier::Run(NodeId a, NodeId b) {
  FindLiveWords(a, b);
  StateAt({a, b}, {});
  if (same_is_dull_ && a == b) return std::move(product_);
  for (StateId id = 0; id < states_.size() && !GaveUp(); ++id) Expand(id);
  // Sets made after the limit are not what they should be, so nothing found is worth telling.
  product_.is_complete = !GaveUp();
  if (product_.is_complete) CollectMeetings();
  return std::move(product_);
}

}  // namespace

bool Product::Contains(const Region& region, const abi::CallWords& words) const {
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (!sets.Contains(region.words[i], words[i])) return false;
  }
  return true;
}

abi::CallWords Product::WitnessIn(const Region& region) const {
  abi::CallWords words{};
  for (std::size_t i = 0; i < words.size(); ++i) words[i] = sets.Next(region.words[i], 0).value();
  const WordSets::Set arches = region.words[abi::kArchWord];
  const WordSets::Set numbers = region.words[abi::kNrWord];
  std::vector<abi::ArchId> preferred = {abi::NativeArch()};
  for (const abi::ArchId id : abi::CompatArches(abi::NativeArch())) preferred.push_back(id);
  for (const abi::Arch& arch : abi::AllArches()) preferred.push_back(arch.id);
  for (const abi::ArchId id : preferred) {
    const std::uint32_t audit_arch = abi::ArchOf(id).audit_arch;
    if (!sets.Contains(arches, audit_arch)) continue;
    for (const abi::Syscall& syscall : abi::SyscallsOf(id)) {
      const auto nr = static_cast<std::uint32_t>(syscall.nr);
      if (!sets.Contains(numbers, nr)) continue;
      words[abi::kArchWord] = audit_arch;
      words[abi::kNrWord] = nr;
      return words;
    }
  }
  return words;
}

Product Multiply(const Pool& pool, NodeId a, NodeId b, const Classify& classify, bool same_is_dull,
                 const ProductLimits& limits) {
  return Multiplier(pool, classify, same_is_dull, limits).Run(a, b);
}

}  // namespace callgate::analyse
