// A graph's way to one leaf as a predicate of the policy language.
//
// From the leaves up, a test with the conditions of its branches becomes "t && yes || !t && no",
// shortened where a branch is always or never right. That copies what the graph shares, so the
// length is limited. Two things make it read as a person would write it: an argument that the
// kernel reads as 32 bits has its name and its constants' names where its low half alone is tested,
// and the pair of tests "high half is H, low half is L", which compilers of filters emit for every
// comparison of 64 bits, is one comparison again.

#include "analyse/condition.h"

#include <fmt/format.h>

#include <unordered_map>
#include <utility>
#include <vector>

#include "abi/call.h"
#include "abi/constants.h"
#include "base/check.h"
#include "graph/reach.h"

namespace callgate::analyse {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Op;
using graph::Predicate;

constexpr std::size_t kMaxLength = 1U << 14;
constexpr std::uint32_t kWhole = UINT32_MAX;

// A condition and what binds it.
struct Condition {
  enum class Kind : std::uint8_t { kNever, kAlways, kTest, kAnd, kOr };
  Kind kind = Kind::kNever;
  std::string text;

  bool is_never() const { return kind == Kind::kNever; }
  bool is_always() const { return kind == Kind::kAlways; }
};

// A word of the call as an argument's half.
struct Half {
  std::optional<int> slot;  // nullopt: ip
  bool is_high = false;
};

Half HalfOf(std::uint8_t word, std::endian order) {
  if (word < abi::ArgLowWord(0, order) && word < abi::ArgHighWord(0, order)) {
    return {std::nullopt, word == abi::IpHighWord(order)};
  }
  const int slot = (word - 4) / 2;
  return {slot, word == abi::ArgHighWord(slot, order)};
}

class Writer {
 public:
  Writer(const graph::Pool& pool, const CallName& call)
      : pool_(pool), call_(call), order_(abi::ArchOf(call.arch).endian) {}

  std::optional<std::string> Run(NodeId root, std::uint32_t ret_value);

 private:
  const abi::Argument* ArgumentOf(const Half& half) const;
  std::string Test(const Predicate& p, bool truth) const;
  std::string WideEquality(const Predicate& high, const Predicate& low) const;
  Condition Join(NodeId id, std::uint32_t ret_value);
  static std::string Grouped(const Condition& condition, Condition::Kind inside);
  static Condition And(std::string test, const Condition& rest);
  static Condition Or(const Condition& a, const Condition& b);

  const graph::Pool& pool_;
  const CallName& call_;
  std::endian order_;
  std::unordered_map<NodeId, Condition> conditions_;
};

// An argument that has a name and no meaning beyond its number.
const abi::Argument* Writer::ArgumentOf(const Half& half) const {
  if (!half.slot || static_cast<std::size_t>(*half.slot) >= call_.signature.size()) return nullptr;
  const abi::Argument& argument = call_.signature[*half.slot];
  switch (argument.kind) {
    case abi::ArgKind::kInteger:
    case abi::ArgKind::kFd:
    case abi::ArgKind::kDirFd:
    case abi::ArgKind::kFlags:
    case abi::ArgKind::kEnum:
    case abi::ArgKind::kPid:
    case abi::ArgKind::kId:
    case abi::ArgKind::kSignal:
      return &argument;
    default:
      return nullptr;
  }
}

std::string NumberText(std::uint64_t number) {
  return number < 10 ? fmt::format("{}", number) : fmt::format("{:#x}", number);
}

std::string RegisterName(const Half& half) {
  return half.slot ? fmt::format("arg{} as u64", *half.slot) : "ip";
}

std::string Writer::Test(const Predicate& p, bool truth) const {
  const Half half = HalfOf(p.word, order_);
  const abi::Argument* argument = half.is_high ? nullptr : ArgumentOf(half);
  const bool orders = p.op == Op::kAtLeast || p.op == Op::kGreater;
  std::string operand;
  std::uint64_t mask = p.mask;
  std::uint64_t constant = p.constant;
  const bool is_plain = argument != nullptr && argument->bits == 32 &&
                        !(argument->is_signed && (orders || constant > INT32_MAX));
  std::string value;
  if (is_plain) {
    operand = argument->name;
  } else if (!half.is_high && half.slot) {
    operand = fmt::format("arg{} as u32", *half.slot);
  } else {
    operand = RegisterName(half);
    if (half.is_high) mask <<= 32, constant <<= 32;
  }
  const bool whole = !half.is_high && half.slot && p.mask == kWhole;
  if (!whole) operand += fmt::format(" & {:#x}", mask);
  if (is_plain && !orders && !argument->set.empty() && p.mask == kWhole) {
    if (const auto name = abi::NameOfValue(call_.arch, argument->set, constant)) value = *name;
  }
  if (value.empty()) value = NumberText(constant);
  switch (p.op) {
    case Op::kEqual:
      return fmt::format("{} {} {}", operand, truth ? "==" : "!=", value);
    case Op::kAtLeast:
      return fmt::format("{} {} {}", operand, truth ? ">=" : "<", value);
    case Op::kGreater:
      return fmt::format("{} {} {}", operand, truth ? ">" : "<=", value);
    case Op::kAnyBit:
      return operand + (truth ? "" : " == 0");
  }
  CG_CHECK(false);
}

// Both are equalities on the halves of one register.
std::string Writer::WideEquality(const Predicate& high, const Predicate& low) const {
  const Half half = HalfOf(low.word, order_);
  const abi::Argument* argument = ArgumentOf(half);
  const bool is_plain = argument != nullptr && argument->bits == 64 && !argument->is_signed;
  std::string operand = is_plain ? std::string(argument->name) : RegisterName(half);
  const std::uint64_t mask = std::uint64_t{high.mask} << 32 | low.mask;
  const std::uint64_t constant = std::uint64_t{high.constant} << 32 | low.constant;
  if (mask != UINT64_MAX) operand += fmt::format(" & {:#x}", mask);
  return fmt::format("{} == {}", operand, NumberText(constant));
}

std::string Writer::Grouped(const Condition& condition, Condition::Kind inside) {
  const bool needs_brackets =
      condition.kind == Condition::Kind::kOr && inside == Condition::Kind::kAnd;
  return needs_brackets ? fmt::format("({})", condition.text) : condition.text;
}

Condition Writer::And(std::string test, const Condition& rest) {
  if (rest.is_never()) return rest;
  if (rest.is_always()) return {Condition::Kind::kTest, std::move(test)};
  return {Condition::Kind::kAnd,
          fmt::format("{} && {}", test, Grouped(rest, Condition::Kind::kAnd))};
}

Condition Writer::Or(const Condition& a, const Condition& b) {
  if (a.is_never() || b.is_always()) return b;
  if (b.is_never() || a.is_always()) return a;
  return {Condition::Kind::kOr, fmt::format("{} || {}", a.text, b.text)};
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
    const Half first = HalfOf(node.predicate.word, order_);
    const Half second = HalfOf(next.predicate.word, order_);
    if (first.slot == second.slot && first.is_high != second.is_high) {
      const Predicate& high = first.is_high ? node.predicate : next.predicate;
      const Predicate& low = first.is_high ? next.predicate : node.predicate;
      return And(WideEquality(high, low), conditions_.at(next.yes));
    }
  }
  if (yes.is_always()) return Or({Condition::Kind::kTest, Test(node.predicate, true)}, no);
  if (no.is_always()) return Or({Condition::Kind::kTest, Test(node.predicate, false)}, yes);
  return Or(And(Test(node.predicate, true), yes), And(Test(node.predicate, false), no));
}

std::optional<std::string> Writer::Run(NodeId root, std::uint32_t ret_value) {
  for (const NodeId id : graph::ReachableFrom(pool_, root)) {
    Condition condition = Join(id, ret_value);
    if (condition.text.size() > kMaxLength) return std::nullopt;
    conditions_[id] = std::move(condition);
  }
  return conditions_.at(root).text;
}

}  // namespace

std::optional<std::string> ConditionText(const graph::Pool& pool, NodeId root,
                                         std::uint32_t ret_value, const CallName& call) {
  return Writer(pool, call).Run(root, ret_value);
}

}  // namespace callgate::analyse
