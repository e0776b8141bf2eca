// A graph's way to one leaf as a predicate of the policy language.
//
// From the leaves up, a test with the conditions of its branches becomes "t && yes || !t && no",
// shortened where a branch is always or never right. That copies what the graph shares, so tests of
// one word that hang together are read as one: "word in {…} && yes" for each of the places they
// lead to, if that is shorter; and the length is limited. Two things make it read as a person would
// write it: an argument that the kernel reads as 32 bits has its name and its constants' names
// where its low half alone is tested, and the pair of tests "high half is H, low half is in …",
// which compilers of filters emit for every comparison of 64 bits, is one comparison again.

#include "analyse/condition.h"

#include <fmt/format.h>

#include <algorithm>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/check.h"
#include "graph/reach.h"
#include "graph/steps.h"

namespace callgate::analyse {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Op;
using graph::Predicate;

constexpr std::size_t kMaxLength = 1U << 14;

// A condition and what binds it.
struct Condition {
  enum class Kind : std::uint8_t { kNever, kAlways, kTest, kAnd, kOr, kTooLong };
  Kind kind = Kind::kNever;
  std::string text;

  bool is_never() const { return kind == Kind::kNever; }
  bool is_always() const { return kind == Kind::kAlways; }
  bool is_too_long() const { return kind == Kind::kTooLong || text.size() > kMaxLength; }
};

class Writer {
 public:
  Writer(const graph::Pool& pool, const CallName& call) : pool_(pool), tests_(call) {}

  std::optional<std::string> Run(NodeId root, std::uint32_t ret_value, Wording wording);

 private:
  std::optional<NodeId> OtherHalf(std::uint8_t word, NodeId id, std::uint32_t& value) const;
  Condition BySets(NodeId id) const;
  Condition Join(NodeId id, std::uint32_t ret_value);
  static std::string Grouped(const Condition& condition, Condition::Kind inside);
  static Condition And(std::string test, const Condition& rest);
  static Condition Or(const Condition& a, const Condition& b);

  const graph::Pool& pool_;
  TestText tests_;
  std::unordered_map<NodeId, Condition> conditions_;
};

std::string Writer::Grouped(const Condition& condition, Condition::Kind inside) {
  const bool needs_brackets =
      condition.kind == Condition::Kind::kOr && inside == Condition::Kind::kAnd;
  return needs_brackets ? fmt::format("({})", condition.text) : condition.text;
}

Condition Writer::And(std::string test, const Condition& rest) {
  if (rest.is_too_long()) return {Condition::Kind::kTooLong, ""};
  if (rest.is_never()) return rest;
  if (rest.is_always()) return {Condition::Kind::kTest, std::move(test)};
  return {Condition::Kind::kAnd,
          fmt::format("{} && {}", test, Grouped(rest, Condition::Kind::kAnd))};
}

Condition Writer::Or(const Condition& a, const Condition& b) {
  if (a.is_too_long() || b.is_too_long()) return {Condition::Kind::kTooLong, ""};
  if (a.is_never() || b.is_always()) return b;
  if (b.is_never() || a.is_always()) return a;
  return {Condition::Kind::kOr, fmt::format("{} || {}", a.text, b.text)};
}

// Where a test "the other half of this word's register is `value`" leads, if nothing else follows.
std::optional<NodeId> Writer::OtherHalf(std::uint8_t word, NodeId id, std::uint32_t& value) const {
  const Node& node = pool_[id];
  if (node.is_leaf || node.predicate.op != Op::kEqual || node.predicate.mask != kWholeWord ||
      !conditions_.at(node.no).is_never()) {
    return std::nullopt;
  }
  const Half half = tests_.HalfOf(word);
  const Half other = tests_.HalfOf(node.predicate.word);
  if (half.slot != other.slot || half.is_high == other.is_high) return std::nullopt;
  value = node.predicate.constant;
  return node.yes;
}

// The tests of one word that begin here, by where they lead to. Of the register, if its high half
// has been tested just before or is tested just behind.
Condition Writer::BySets(NodeId id) const {
  NodeId entry = id;
  std::optional<std::uint32_t> high;
  std::uint32_t value = 0;
  if (!pool_[pool_[id].yes].is_leaf) {
    const std::uint8_t next = pool_[pool_[id].yes].predicate.word;
    const bool is_low = !tests_.HalfOf(next).is_high;
    if (const auto inner = OtherHalf(next, id, value); inner && is_low) {
      entry = *inner;
      high = value;
    }
  }
  const std::uint8_t word = pool_[entry].predicate.word;
  if (!graph::TestsValueOf(pool_[entry], word)) return {Condition::Kind::kTooLong, ""};
  // Places whose conditions read the same are one.
  std::vector<std::pair<NodeId, Intervals>> places;
  const graph::Steps steps = graph::StepsOf(pool_, entry, word);
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const std::uint32_t last = i + 1 < steps.size() ? steps[i + 1].first - 1 : kWholeWord;
    const std::string& text = conditions_.at(steps[i].node).text;
    auto place = std::ranges::find_if(
        places, [&](const auto& one) { return conditions_.at(one.first).text == text; });
    if (place == places.end()) place = places.insert(place, {steps[i].node, {}});
    Intervals& set = place->second;
    if (!set.empty() && std::uint64_t{set.back().last} + 1 == steps[i].first) {
      set.back().last = last;
    } else {
      set.push_back({steps[i].first, last});
    }
  }
  std::erase_if(places, [&](const auto& one) { return conditions_.at(one.first).is_never(); });
  const auto always = std::ranges::find_if(
      places, [&](const auto& one) { return conditions_.at(one.first).is_always(); });
  const bool has_always = always != places.end();
  if (has_always) std::rotate(places.begin(), always, always + 1);
  Condition all{Condition::Kind::kNever, "0"};
  std::size_t values = 0;
  for (const auto& [node, set] : places) {
    for (const Interval& one : set) values += std::size_t{one.last} - one.first + 1;
  }
  // What is left where the first place is always right needs no test.
  const bool is_rest = has_always && places.size() == 2 && values == std::size_t{kWholeWord} + 1;
  for (std::size_t i = 0; i < places.size(); ++i) {
    const auto& [node, set] = places[i];
    Condition rest = conditions_.at(node);
    std::optional<std::uint32_t> above = high;
    if (i == 1 && is_rest && !high) {
      all = Or(all, rest);
      continue;
    }
    const bool is_low = !tests_.HalfOf(word).is_high;
    if (const auto behind = OtherHalf(word, node, value); behind && is_low && !high) {
      above = value;
      rest = conditions_.at(*behind);
    }
    if (set.size() == 1 && set.front().first == 0 && set.front().last == kWholeWord) {
      return {Condition::Kind::kTooLong, ""};  // the word does not matter: said elsewhere
    }
    all = Or(all, And(tests_.InSet(word, set, above), rest));
  }
  return all;
}

Condition Writer::Join(NodeId id, std::uint32_t ret_value) {
  const Node& node = pool_[id];
  if (node.is_leaf) {
    const bool is_it = node.ret_value == ret_value;
    return {is_it ? Condition::Kind::kAlways : Condition::Kind::kNever, is_it ? "1" : "0"};
  }
  const Condition& yes = conditions_.at(node.yes);
  const Condition& no = conditions_.at(node.no);
  if (yes.text == no.text) return yes;
  // "high is H && low is L", in either order.
  const Node& next = pool_[node.yes];
  if (no.is_never() && !next.is_leaf && node.predicate.op == Op::kEqual &&
      next.predicate.op == Op::kEqual && conditions_.at(next.no).is_never()) {
    const Half first = tests_.HalfOf(node.predicate.word);
    const Half second = tests_.HalfOf(next.predicate.word);
    if (first.slot == second.slot && first.is_high != second.is_high) {
      const Predicate& high = first.is_high ? node.predicate : next.predicate;
      const Predicate& low = first.is_high ? next.predicate : node.predicate;
      return And(tests_.WideEquality(high, low), conditions_.at(next.yes));
    }
  }
  if (yes.is_always()) return Or({Condition::Kind::kTest, tests_.Test(node.predicate, true)}, no);
  if (no.is_always()) return Or({Condition::Kind::kTest, tests_.Test(node.predicate, false)}, yes);
  return Or(And(tests_.Test(node.predicate, true), yes),
            And(tests_.Test(node.predicate, false), no));
}

std::optional<std::string> Writer::Run(NodeId root, std::uint32_t ret_value, Wording wording) {
  const std::vector<NodeId> nodes = graph::ReachableFrom(pool_, root);
  // Where other words lead to: inside a run of tests of one word nobody begins to read.
  std::unordered_set<NodeId> entries = {root};
  for (const NodeId id : nodes) {
    const Node& node = pool_[id];
    if (node.is_leaf) continue;
    for (const NodeId next : {node.yes, node.no}) {
      if (!pool_[next].is_leaf && pool_[next].predicate.word != node.predicate.word) {
        entries.insert(next);
      }
    }
  }
  for (const NodeId id : nodes) {
    Condition condition = Join(id, ret_value);
    if (wording == Wording::kLists && !pool_[id].is_leaf && entries.contains(id)) {
      Condition by_sets = BySets(id);
      const bool is_better =
          !by_sets.is_too_long() &&
          (condition.is_too_long() || by_sets.text.size() < condition.text.size());
      if (is_better) condition = std::move(by_sets);
    }
    conditions_[id] = std::move(condition);
  }
  const Condition& all = conditions_.at(root);
  return all.is_too_long() ? std::nullopt : std::optional(all.text);
}

}  // namespace

std::optional<std::string> ConditionText(const graph::Pool& pool, NodeId root,
                                         std::uint32_t ret_value, const CallName& call,
                                         Wording wording) {
  return Writer(pool, call).Run(root, ret_value, wording);
}

}  // namespace callgate::analyse
