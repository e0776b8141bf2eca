// How questions about calls become walks over graphs.
//
// A filter first looks at architecture and number, and what is left is small: one leaf for most
// calls, a few tests of arguments for the others. So every question fixes both, walks down to what
// is left (BodyOf), and only that is multiplied with the graph of the calls asked about. The
// product is exact, so "is there a call of this kind that is allowed?" is answered with such a
// call, or with no. Nothing is guessed from what the rules look like.
//
// Cost: a walk of the number dispatch per number, remembered; a filter of a container runtime
// (three ABIs, a thousand instructions) is asked its thousand numbers in a few milliseconds.

#include "lint/decisions.h"

#include <algorithm>
#include <charconv>
#include <functional>

#include "abi/action.h"
#include "abi/constants.h"
#include "analyse/product.h"
#include "analyse/stack.h"
#include "graph/reach.h"

namespace callgate::lint {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Op;
using graph::Pool;
using graph::Predicate;

// Of one question. What compilers and people write needs some hundred.
constexpr std::uint64_t kMaxSteps = 200'000;
constexpr std::uint64_t kOperationsAStep = 8;  // on sets of words, in the time of a step

// `root` with the words of `known` (index: word) put in.
using Known = std::array<std::optional<std::uint32_t>, 16>;

NodeId Specialise(Pool& pool, NodeId root, const Known& known) {
  auto decided = [&](const Node& node) -> std::optional<NodeId> {
    const Predicate& predicate = node.predicate;
    if (node.is_leaf || !known[predicate.word]) return std::nullopt;
    abi::CallWords words{};
    words[predicate.word] = *known[predicate.word];
    return predicate.Holds(words) ? node.yes : node.no;
  };
  while (auto next = decided(pool[root])) root = *next;
  const std::vector<NodeId> nodes = graph::ReachableFrom(pool, root);
  auto is_known = [&](NodeId id) { return decided(pool[id]).has_value(); };
  if (std::ranges::none_of(nodes, is_known)) return root;
  std::map<NodeId, NodeId> copy;
  for (const NodeId id : nodes) {
    const Node node = pool[id];  // by value: the pool grows
    if (node.is_leaf) {
      copy[id] = id;
    } else if (auto next = decided(node)) {
      copy[id] = copy.at(*next);
    } else {
      copy[id] = pool.Test(node.predicate, copy.at(node.yes), copy.at(node.no));
    }
  }
  return copy.at(root);
}

std::optional<std::uint64_t> ValueOf(abi::ArchId arch, std::string_view values,
                                     std::string_view set) {
  std::uint64_t sum = 0;
  while (!values.empty()) {
    const std::size_t bar = std::min(values.find('|'), values.size());
    const std::string_view name = values.substr(0, bar);
    values.remove_prefix(std::min(bar + 1, values.size()));
    std::uint64_t number = 0;
    const bool is_number = std::from_chars(name.data(), name.data() + name.size(), number).ptr ==
                           name.data() + name.size();
    if (!is_number) {
      auto constant = abi::FindConstant(arch, name, set);
      if (!constant) return std::nullopt;
      number = *constant;
    }
    sum |= number;
  }
  return sum;
}

}  // namespace

abi::Call CallOf(abi::CallWords words, abi::ArchId arch, std::int32_t nr) {
  words[abi::kArchWord] = abi::ArchOf(arch).audit_arch;
  words[abi::kNrWord] = static_cast<std::uint32_t>(nr);
  return abi::CallOf(words, abi::ArchOf(arch).endian);
}

Decisions Decisions::Of(std::span<const bpf::Program> filters) {
  graph::Pool pool;
  analyse::Lifted lifted = analyse::LiftStack(filters, pool);
  return {std::move(pool), std::move(lifted)};
}

Outcome Decisions::OutcomeOf(std::uint32_t ret_value) const {
  if (lifted_.IsUndecided(ret_value)) return Outcome::kOpen;
  const auto action = abi::ActionFromValue(ret_value);
  if (!action) return Outcome::kDenied;  // the kernel kills
  switch (action->kind) {
    case abi::ActionKind::kAllow:
    case abi::ActionKind::kLog:
      return Outcome::kAllowed;
    case abi::ActionKind::kUserNotif:
    case abi::ActionKind::kTrace:
      return Outcome::kOpen;
    case abi::ActionKind::kKillProcess:
    case abi::ActionKind::kKillThread:
    case abi::ActionKind::kTrap:
    case abi::ActionKind::kErrno:
      return Outcome::kDenied;
  }
  return Outcome::kDenied;
}

NodeId Decisions::BodyOf(std::uint32_t audit_arch, std::uint32_t nr) {
  const auto [entry, is_new] = bodies_.try_emplace({audit_arch, nr}, 0);
  if (is_new) {
    Known known;
    known[abi::kArchWord] = audit_arch;
    known[abi::kNrWord] = nr;
    entry->second = Specialise(pool_, root(), known);
  }
  return entry->second;
}

NodeId Decisions::BodyOf(abi::ArchId arch, const abi::Syscall& syscall) {
  return BodyOf(abi::ArchOf(arch).audit_arch, static_cast<std::uint32_t>(syscall.nr));
}

NodeId Decisions::WithWord(NodeId body, std::uint8_t word, std::uint32_t value) {
  Known known;
  known[word] = value;
  return Specialise(pool_, body, known);
}

NodeId Decisions::UnknownBody(abi::ArchId arch) {
  const auto table = abi::SyscallsOf(arch);
  // Far enough above the last call that no kernel of the next years has it.
  const std::int32_t last = table.empty() ? 0 : table.back().nr;
  return BodyOf(abi::ArchOf(arch).audit_arch, static_cast<std::uint32_t>(last + 200));
}

std::optional<NodeId> Decisions::Build(abi::ArchId arch, const CallPattern& pattern) {
  const NodeId in = pool_.Leaf(1), out = pool_.Leaf(0);
  NodeId node = in;
  for (const ArgumentTest& test : pattern.tests) {
    if (test.argument.empty()) continue;
    const auto signature = abi::SignatureOf(arch, pattern.syscall);
    const auto argument = signature ? abi::FindArgument(*signature, test.argument) : std::nullopt;
    if (!argument) return std::nullopt;
    const auto value = ValueOf(arch, test.values, argument->argument->set);
    if (!value) return std::nullopt;
    const std::endian order = abi::ArchOf(arch).endian;
    struct Half {
      std::uint8_t word;
      std::uint32_t mask;
      std::uint32_t value;
    };
    std::vector<Half> halves = {{abi::ArgLowWord(argument->slot, order),
                                 argument->bits >= 32 ? UINT32_MAX : (1U << argument->bits) - 1,
                                 static_cast<std::uint32_t>(*value)}};
    if (argument->bits > 32) {
      const std::uint8_t high = argument->high_slot ? abi::ArgLowWord(*argument->high_slot, order)
                                                    : abi::ArgHighWord(argument->slot, order);
      halves.push_back({high, UINT32_MAX, static_cast<std::uint32_t>(*value >> 32U)});
    }
    const NodeId yes = node;
    switch (test.op) {
      case ArgumentTest::Op::kIs:
        for (const Half& half : halves) {
          node = pool_.Test({half.word, Op::kEqual, half.mask, half.value & half.mask}, node, out);
        }
        break;
      case ArgumentTest::Op::kHasAll:
        for (const Half& half : halves) {
          if (half.value == 0) continue;
          node = pool_.Test({half.word, Op::kEqual, half.value, half.value}, node, out);
        }
        break;
      case ArgumentTest::Op::kHasAny:
        node = out;
        for (const Half& half : halves) {
          if (half.value == 0) continue;
          node = pool_.Test({half.word, Op::kAnyBit, half.value, 0}, yes, node);
        }
        break;
      case ArgumentTest::Op::kLacks:
        for (const Half& half : halves) {
          if (half.value == 0) continue;
          node = pool_.Test({half.word, Op::kAnyBit, half.value, 0}, out, node);
        }
        break;
    }
  }
  return node;
}

std::optional<abi::CallWords> Decisions::FindMeeting(
    NodeId a, NodeId b, const std::function<bool(std::uint32_t, std::uint32_t)>& wanted) {
  if (pool_[a].is_leaf && pool_[b].is_leaf) {
    if (!wanted(pool_[a].ret_value, pool_[b].ret_value)) return std::nullopt;
    return abi::CallWords{};
  }
  const analyse::Classify classify = [&](std::uint32_t x, std::uint32_t y) -> std::uint8_t {
    return wanted(x, y) ? 1 : 0;
  };
  const analyse::ProductLimits limits = {.max_steps = std::min(steps_left_, kMaxSteps),
                                         .max_meetings = 1};
  const analyse::Product product = analyse::Multiply(pool_, a, b, classify, false, limits);
  // Who met a limit has used up what it had.
  const std::uint64_t work = product.steps + product.sets.operations() / kOperationsAStep;
  steps_left_ -= product.is_complete ? std::min(steps_left_, work) : limits.max_steps;
  // What interlocks so much that the limit is met is not found: no finding rather than a wrong one.
  gave_up_ = gave_up_ || !product.is_complete;
  if (!product.is_complete || product.meetings.empty()) return std::nullopt;
  return product.WitnessIn(product.meetings.front().region);
}

std::optional<abi::Call> Decisions::Find(abi::ArchId arch, const abi::Syscall& syscall,
                                         NodeId where, Outcome outcome) {
  const auto words = FindIn(BodyOf(arch, syscall), where,
                            [&](std::uint32_t value) { return OutcomeOf(value) == outcome; });
  if (!words) return std::nullopt;
  return CallOf(*words, arch, syscall.nr);
}

std::optional<abi::Call> Decisions::Find(abi::ArchId arch, const CallPattern& pattern,
                                         Outcome outcome) {
  const abi::Syscall* syscall = abi::FindSyscall(arch, pattern.syscall);
  if (syscall == nullptr) return std::nullopt;
  const auto where = Build(arch, pattern);
  if (!where) return std::nullopt;
  return Find(arch, *syscall, *where, outcome);
}

bool Decisions::Sometimes(abi::ArchId arch, std::string_view name, Outcome outcome) {
  return Find(arch, CallPattern{.syscall = name}, outcome).has_value();
}

bool Decisions::Always(abi::ArchId arch, std::string_view name, Outcome outcome) {
  const abi::Syscall* syscall = abi::FindSyscall(arch, name);
  if (syscall == nullptr) return false;
  const bool before = TakeGaveUp();
  const bool is_found = FindIn(BodyOf(arch, *syscall), pool_.Leaf(1), [&](std::uint32_t value) {
                          return OutcomeOf(value) != outcome;
                        }).has_value();
  const bool is_unknown = gave_up_;
  gave_up_ = before || is_unknown;
  return !is_found && !is_unknown;
}

bool Decisions::IsConditional(abi::ArchId arch, std::string_view name) {
  return Sometimes(arch, name, Outcome::kAllowed) && Sometimes(arch, name, Outcome::kDenied);
}

}  // namespace callgate::lint
