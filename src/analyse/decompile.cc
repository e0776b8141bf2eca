// From a decision graph to a policy.
//
// A policy is a table: ABI, number, body. So the graph is specialised, first to each AUDIT_ARCH
// that has a name, then to each number that has one; what is left is a graph over arguments, the
// body. Three settings stand for everything without a name: bad_arch, unknown, and default, for
// which the most common refusal is taken. ABIs that are treated like those without a name are not
// listed. Calls whose bodies read the same share a line.

#include "analyse/decompile.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "abi/action.h"
#include "abi/arch.h"
#include "abi/call.h"
#include "abi/syscalls.h"
#include "analyse/compare.h"
#include "analyse/condition.h"
#include "analyse/diagram.h"
#include "analyse/express.h"
#include "graph/combine.h"
#include "graph/reach.h"
#include "graph/simplify.h"

namespace callgate::analyse {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Pool;

constexpr std::size_t kColumns = 100;
constexpr std::size_t kReadable = 1000;
constexpr std::uint64_t kMaxOperations = 1U << 20;  // some tens of milliseconds

// What is decided where a word has this value.
NodeId Specialise(Pool& pool, NodeId root, std::uint8_t word, std::uint32_t value) {
  abi::CallWords words{};
  words[word] = value;
  std::unordered_map<NodeId, NodeId> special;
  for (const NodeId id : graph::ReachableFrom(pool, root)) {
    const Node node = pool[id];  // by value: the pool grows
    if (node.is_leaf) {
      special[id] = id;
    } else if (node.predicate.word == word) {
      special[id] = special[node.predicate.Holds(words) ? node.yes : node.no];
    } else {
      special[id] = pool.Test(node.predicate, special[node.yes], special[node.no]);
    }
  }
  return special[root];
}

// An AUDIT_ARCH that no table knows: two machine numbers are never valid together.
constexpr std::uint32_t kUnknownArch = 0x3fffffff;

struct Rule {
  std::string name;
  NodeId body = 0;
};

struct ArchRules {
  abi::ArchId arch{};
  NodeId unknown = 0;  // the body of a number without a name
  std::vector<Rule> rules;
};

base::Result<std::string> Refuse(std::string reason) {
  return base::Fail({.operation = "say this filter as a policy",
                     .subject = "",
                     .reason = std::move(reason),
                     .advice = ""});
}

class Decompiler {
 public:
  Decompiler(Pool& pool, ClauseOrder order, Wording wording)
      : pool_(pool), order_(order), wording_(wording) {}

  base::Result<std::string> Run(NodeId root);

 private:
  NodeId BodyOf(NodeId root, std::uint32_t nr);
  ArchRules RulesOf(NodeId by_number, abi::ArchId arch);
  bool ReadArches(NodeId root, NodeId bad_arch);
  void ChooseDefault();
  std::optional<std::string> Condition(NodeId body, std::uint32_t value,
                                       const CallName& call) const;
  std::optional<std::string> BodyText(NodeId body, const CallName& call);
  base::Result<std::string> Write(NodeId bad_arch);

  Pool& pool_;
  ClauseOrder order_;
  Wording wording_;
  std::unordered_map<NodeId, NodeId> simplified_;
  std::vector<ArchRules> arches_;
  std::uint32_t default_ = 0;
};

// Without the tests that others on the way have decided: a rule is read by people.
NodeId Simplified(Pool& pool, NodeId root) {
  auto same = [](std::uint32_t value) { return value; };
  graph::Graph graph;
  graph.root = graph::CopyMapped(pool, root, graph.pool, same);
  graph = graph::Simplify(graph);
  return graph::CopyMapped(graph.pool, graph.root, pool, same);
}

// Follows the tests of the number from the top; only what is below them is copied, if it tests the
// number again. Many numbers have one body, which is simplified once.
NodeId Decompiler::BodyOf(NodeId root, std::uint32_t nr) {
  abi::CallWords words{};
  words[abi::kNrWord] = nr;
  while (!pool_[root].is_leaf && pool_[root].predicate.word == abi::kNrWord) {
    root = pool_[root].predicate.Holds(words) ? pool_[root].yes : pool_[root].no;
  }
  if (pool_[root].is_leaf) return root;
  root = Specialise(pool_, root, abi::kNrWord, nr);
  const auto [body, is_new] = simplified_.try_emplace(root, root);
  if (is_new) body->second = Simplified(pool_, root);
  return body->second;
}

ArchRules Decompiler::RulesOf(NodeId by_number, abi::ArchId arch) {
  ArchRules result{arch, 0, {}};
  std::uint32_t unnamed = 0;
  for (const abi::Syscall& syscall : abi::SyscallsOf(arch)) {
    const auto nr = static_cast<std::uint32_t>(syscall.nr);
    if (abi::FindSyscall(arch, syscall.nr) != &syscall) continue;  // a second name
    result.rules.push_back({std::string(syscall.name), BodyOf(by_number, nr)});
    unnamed = std::max(unnamed, nr + 1);
  }
  result.unknown = BodyOf(by_number, unnamed);
  return result;
}

bool IsUniform(const ArchRules& arch, NodeId body) {
  return arch.unknown == body &&
         std::ranges::all_of(arch.rules, [&](const Rule& rule) { return rule.body == body; });
}

// False: an ABI's numbers without a name are judged by their arguments, or two ABIs' differently.
bool Decompiler::ReadArches(NodeId root, NodeId bad_arch) {
  std::vector<abi::ArchId> order = {abi::NativeArch()};
  for (const abi::Arch& arch : abi::AllArches()) {
    if (arch.id != abi::NativeArch()) order.push_back(arch.id);
  }
  for (const abi::ArchId arch : order) {
    const NodeId by_number = Specialise(pool_, root, abi::kArchWord, abi::ArchOf(arch).audit_arch);
    if (by_number == bad_arch) continue;
    ArchRules rules = RulesOf(by_number, arch);
    if (!IsUniform(rules, bad_arch)) arches_.push_back(std::move(rules));
  }
  if (arches_.empty()) arches_.push_back(RulesOf(bad_arch, abi::NativeArch()));
  return std::ranges::all_of(arches_, [&](const ArchRules& arch) {
    return pool_[arch.unknown].is_leaf && arch.unknown == arches_.front().unknown;
  });
}

void Decompiler::ChooseDefault() {
  const std::uint32_t unknown = pool_[arches_.front().unknown].ret_value;
  std::map<std::uint32_t, std::size_t> counts;
  for (const ArchRules& arch : arches_) {
    for (const Rule& rule : arch.rules) {
      const Node& node = pool_[rule.body];
      if (node.is_leaf && node.ret_value != abi::kAllow.value()) ++counts[node.ret_value];
    }
  }
  // Where no call is refused outright, the filter is a list of what is denied.
  default_ = counts.empty() ? abi::kAllow.value() : unknown;
  const auto most =
      std::ranges::max_element(counts, {}, [](const auto& one) { return one.second; });
  if (unknown != abi::kAllow.value() && most != counts.end()) default_ = most->first;
}

// As the graph asks it, which compiles to the same tests again. But some filters ask for "not 0" in
// 64 tests of one bit each; what nobody would read is written as its function of bits says it.
std::optional<std::string> Decompiler::Condition(NodeId body, std::uint32_t value,
                                                 const CallName& call) const {
  std::optional<std::string> text = ConditionText(pool_, body, value, call, wording_);
  if (text && text->size() <= kReadable) return text;
  Bdd bdd(kMaxOperations);
  const Bdd::Ref function = WhereReturns(bdd, pool_, body, value);
  if (bdd.Exhausted()) return text;
  Pool pool;
  const NodeId yes = pool.Leaf(1);
  const NodeId root = Express(pool, bdd, function, yes, pool.Leaf(0));
  std::optional<std::string> rewritten = ConditionText(pool, root, 1, call, wording_);
  const bool is_better = rewritten && (!text || rewritten->size() < text->size());
  return is_better ? rewritten : text;
}

// The graph for calls that do not come to one of the leaves `done`: what an earlier clause has
// decided a later one need not ask. nullopt: every call does.
std::optional<NodeId> Without(Pool& pool, NodeId root, const std::vector<std::uint32_t>& done) {
  std::unordered_map<NodeId, std::optional<NodeId>> rest;
  for (const NodeId id : graph::ReachableFrom(pool, root)) {
    const Node node = pool[id];  // by value: the pool grows
    if (node.is_leaf) {
      const bool is_done = std::ranges::find(done, node.ret_value) != done.end();
      rest[id] = is_done ? std::nullopt : std::optional(id);
      continue;
    }
    const std::optional<NodeId> yes = rest[node.yes];
    const std::optional<NodeId> no = rest[node.no];
    rest[id] = yes && no ? pool.Test(node.predicate, *yes, *no) : yes ? yes : no;
  }
  return rest[root];
}

// "" is "allowed always".
std::optional<std::string> Decompiler::BodyText(NodeId body, const CallName& call) {
  std::vector<std::uint32_t> values;
  if (const Node& node = pool_[body]; node.is_leaf) {
    if (node.ret_value == abi::kAllow.value()) return "";
    return fmt::format(": else -> {}", abi::RetValueToString(node.ret_value));
  }
  for (const NodeId id : graph::ReachableFrom(pool_, body)) {
    if (pool_[id].is_leaf) values.push_back(pool_[id].ret_value);
  }
  std::ranges::sort(values, std::greater<>(),
                    [](std::uint32_t value) { return static_cast<std::int32_t>(value); });
  const auto fallback = std::ranges::find(values, default_);
  if (fallback != values.end()) std::rotate(fallback, fallback + 1, values.end());
  std::vector<std::string> clauses;
  std::vector<std::uint32_t> done;
  while (values.size() > 1) {
    const NodeId rest = Without(pool_, body, done).value();
    std::optional<std::string> text;
    std::size_t chosen = 0;
    const std::size_t candidates = order_ == ClauseOrder::kShortestFirst ? values.size() : 1;
    for (std::size_t i = 0; i < candidates; ++i) {
      std::optional<std::string> condition = Condition(rest, values[i], call);
      if (!condition || (text && text->size() <= condition->size())) continue;
      text = std::move(condition);
      chosen = i;
    }
    if (!text) return std::nullopt;
    const std::uint32_t value = values[chosen];
    const bool says_allow = value == abi::kAllow.value();
    clauses.push_back(says_allow ? *text
                                 : fmt::format("{} -> {}", *text, abi::RetValueToString(value)));
    done.push_back(value);
    values.erase(values.begin() + static_cast<std::ptrdiff_t>(chosen));
  }
  // The last needs no question.
  if (values.front() != default_) {
    clauses.push_back(fmt::format("else -> {}", abi::RetValueToString(values.front())));
  }
  return fmt::format(": {}", fmt::join(clauses, "; "));
}

base::Result<std::string> Decompiler::Write(NodeId bad_arch) {
  ChooseDefault();
  std::vector<std::string_view> names;
  for (const ArchRules& arch : arches_) names.push_back(abi::ArchOf(arch.arch).name);
  // name → text of its body, by ABI
  std::map<std::string, std::map<std::size_t, std::string>> bodies;
  for (std::size_t i = 0; i < arches_.size(); ++i) {
    for (const Rule& rule : arches_[i].rules) {
      const Node& node = pool_[rule.body];
      const bool is_default = node.is_leaf && node.ret_value == default_;
      // Without a rule of its own a multiplexer follows the rules of the calls it stands for.
      const bool is_multiplexer = rule.name == "socketcall" || rule.name == "ipc";
      if (is_default && !is_multiplexer) continue;
      CallName call{arches_[i].arch,
                    abi::SignatureOf(arches_[i].arch, rule.name).value_or(abi::Signature{})};
      const std::optional<std::string> text = BodyText(rule.body, call);
      if (!text) {
        return Refuse(
            fmt::format("what it asks of the arguments of {} does not fit into a rule", rule.name));
      }
      bodies[rule.name][i] = *text;
    }
  }
  // text → calls, in the order of first mention
  std::map<std::string, std::vector<std::string>> calls;
  for (const auto& [name, by_arch] : bodies) {
    const std::string& first = by_arch.begin()->second;
    const bool is_common =
        by_arch.size() == arches_.size() &&
        std::ranges::all_of(by_arch, [&](const auto& one) { return one.second == first; });
    if (is_common) {
      calls[first].push_back(name);
      continue;
    }
    for (const auto& [index, text] : by_arch) {
      const bool is_only_arch = arches_.size() == 1;
      calls[text].push_back(is_only_arch ? name : fmt::format("{}.{}", names[index], name));
    }
  }

  std::string text = fmt::format("arch: {}\ndefault: {}\nunknown: {}\nbad_arch: {}\n",
                                 fmt::join(names, ", "), abi::RetValueToString(default_),
                                 abi::RetValueToString(pool_[arches_.front().unknown].ret_value),
                                 abi::RetValueToString(pool_[bad_arch].ret_value));
  for (const auto& [body, targets] : calls) {
    std::string line;
    for (const std::string& target : targets) {
      if (!line.empty() && line.size() + target.size() + 2 > kColumns) {
        text += line + body + '\n';
        line.clear();
      }
      line += (line.empty() ? "" : ", ") + target;
    }
    text += line + body + '\n';
  }
  return text;
}

base::Result<std::string> Decompiler::Run(NodeId root) {
  const NodeId bad_arch = Specialise(pool_, root, abi::kArchWord, kUnknownArch);
  if (!pool_[bad_arch].is_leaf) {
    return Refuse(
        "it judges calls of any ABI by their numbers, and a policy says which ABIs it speaks for");
  }
  if (!ReadArches(root, bad_arch)) {
    return Refuse(
        "it treats numbers that no table names in several ways, and a policy has one, 'unknown'");
  }
  return Write(bad_arch);
}

}  // namespace

base::Result<std::string> Decompile(Pool& pool, const Lifted& lifted, ClauseOrder order,
                                    Wording wording) {
  if (!lifted.undecided.empty()) return Refuse(lifted.undecided.front().reason);
  const NodeId plain = graph::CopyMapped(pool, lifted.root, pool, EffectOf);
  return Decompiler(pool, order, wording).Run(plain);
}

}  // namespace callgate::analyse
