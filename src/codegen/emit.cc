// Emission works from the leaves to the root and writes the program back to front. cBPF jumps only
// forward, so when a test is written both its targets already exist and their distance is known: no
// labels, no fix-point, no second pass.
//
// Accumulator. A test needs its word in A, perhaps masked. A node's code is
//         load:   LD  word
//         mask:   AND mask        (only where JSET cannot do it)
//         test:   Jcc constant, yes, no
// and each edge enters at the last of the three that is right for it: a parent that tested the same
// word jumps behind the load. So a node is written once whatever A holds on the way to it. (Sharing
// code by what was loaded, instead of choosing an entry by it, has produced wrong filters
// elsewhere.) This needs that what A holds behind a node depends on the node alone, not on how it
// was entered: JSET, which looks through its own mask and leaves A as it came, is therefore only
// entered with the whole word. Instructions that no edge needs are not written.
//
// Far jumps. A conditional jump reaches 255 instructions. If the target is farther, a JA directly
// behind the test becomes a nearer copy of the entry, remembered so that later tests can share it.
// A leaf's nearer copy is the RET itself: as short, and one step less to run. A leaf that only
// copies serve in the end is left out, and the program written once more without it.
//
// Order. Any order with children behind parents is right; layout.h has two.

#include "codegen/emit.h"

#include <linux/filter.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "base/check.h"
#include "codegen/layout.h"

namespace callgate::codegen {
namespace {

using bpf::Instruction;
using graph::Graph;
using graph::Node;
using graph::NodeId;
using graph::Op;
using graph::Predicate;

constexpr std::uint32_t kWhole = UINT32_MAX;
constexpr std::size_t kMaxJump = UINT8_MAX;  // jt and jf are eight bits

enum class Entry : std::uint8_t { kLoad, kMask, kTest };

// What is left of the word in A behind the test. JSET masks by itself; the others need the AND.
std::uint32_t MaskInAccumulator(const Predicate& p) {
  return p.op == Op::kAnyBit ? kWhole : p.mask;
}

// Where `child` is entered when A holds what `parent` looked at.
Entry EntryAfter(const Predicate& parent, const Node& child) {
  if (child.is_leaf) return Entry::kTest;
  const Predicate& p = child.predicate;
  if (parent.word != p.word) return Entry::kLoad;
  const std::uint32_t held = MaskInAccumulator(parent);
  const std::uint32_t wanted = MaskInAccumulator(p);
  if (held == wanted) return Entry::kTest;
  return (held & wanted) == wanted ? Entry::kMask : Entry::kLoad;
}

std::uint16_t JumpCode(Op op) {
  switch (op) {
    case Op::kEqual:
      return BPF_JMP | BPF_JEQ | BPF_K;
    case Op::kGreater:
      return BPF_JMP | BPF_JGT | BPF_K;
    case Op::kAtLeast:
      return BPF_JMP | BPF_JGE | BPF_K;
    case Op::kAnyBit:
      return BPF_JMP | BPF_JSET | BPF_K;
  }
  CG_CHECK(false);
}

class Emitter {
 public:
  // Leaves in `copied` are written only where a test needs them near.
  Emitter(const Graph& graph, const std::vector<bool>& copied)
      : graph_(graph), copied_(copied), needed_(graph.root + 1), places_(graph.root + 1) {}

  bpf::Program Run(const std::vector<NodeId>& order);
  // Leaves whose place in the order no test jumps to, because all use copies.
  std::vector<NodeId> UnusedLeaves(const std::vector<NodeId>& order) const;

 private:
  // Places are counted from the program's end, so that they do not move while it grows.
  using Place = std::size_t;
  struct Places {
    std::optional<Place> original;
    std::optional<Place> nearest;  // the original or the newest copy of it
    bool original_is_used = false;
  };

  template <typename T>
  using PerEntry = std::array<T, 3>;
  static std::size_t Index(Entry entry) { return static_cast<std::size_t>(entry); }

  void MarkNeededEntries(const std::vector<NodeId>& order);
  bool Needs(NodeId id, Entry entry) const { return needed_[id][Index(entry)]; }
  void EmitNode(NodeId id);
  void EmitJump(const Node& node);
  // True if the target had to be brought nearer, which moves everything else one farther.
  bool BringNear(NodeId target, Entry entry);
  Place Push(Instruction instruction) {
    reversed_.push_back(instruction);
    return reversed_.size() - 1;
  }
  std::size_t DistanceFromHere(Place target) const { return reversed_.size() - target - 1; }
  std::uint8_t Offset(NodeId target, Entry entry);
  void SetPlace(NodeId id, Entry entry, Place place) {
    places_[id][Index(entry)] = {place, place, false};
  }

  const Graph& graph_;
  const std::vector<bool>& copied_;
  std::vector<PerEntry<bool>> needed_;
  std::vector<PerEntry<Places>> places_;
  std::vector<Instruction> reversed_;
};

void Emitter::MarkNeededEntries(const std::vector<NodeId>& order) {
  needed_[graph_.root][Index(Entry::kLoad)] = true;
  for (const NodeId id : order) {
    const Node& node = graph_.pool[id];
    if (node.is_leaf) continue;
    for (const NodeId child : {node.yes, node.no}) {
      needed_[child][Index(EntryAfter(node.predicate, graph_.pool[child]))] = true;
    }
  }
}

bool Emitter::BringNear(NodeId target, Entry entry) {
  Places& places = places_[target][Index(entry)];
  if (places.nearest && DistanceFromHere(*places.nearest) <= kMaxJump) return false;
  const Node& node = graph_.pool[target];
  if (node.is_leaf) {
    places.nearest = Push({BPF_RET | BPF_K, 0, 0, node.ret_value});
    return true;
  }
  const auto distance = static_cast<std::uint32_t>(DistanceFromHere(places.original.value()));
  places.nearest = Push({BPF_JMP | BPF_JA, 0, 0, distance});
  return true;
}

void Emitter::EmitJump(const Node& node) {
  const Predicate& p = node.predicate;
  const Entry yes = EntryAfter(p, graph_.pool[node.yes]);
  const Entry no = EntryAfter(p, graph_.pool[node.no]);
  // A copy for one target can push the other out of reach, so ask again until both are near; the
  // copies themselves are the nearest instructions there are.
  while (BringNear(node.yes, yes) || BringNear(node.no, no)) {
  }
  const std::uint32_t k = p.op == Op::kAnyBit ? p.mask : p.constant;
  Push({JumpCode(p.op), Offset(node.yes, yes), Offset(node.no, no), k});
}

std::uint8_t Emitter::Offset(NodeId target, Entry entry) {
  Places& places = places_[target][Index(entry)];
  if (places.nearest == places.original) places.original_is_used = true;
  return static_cast<std::uint8_t>(DistanceFromHere(places.nearest.value()));
}

void Emitter::EmitNode(NodeId id) {
  const Node& node = graph_.pool[id];
  if (node.is_leaf) {
    if (copied_[id]) return;
    SetPlace(id, Entry::kTest, Push({BPF_RET | BPF_K, 0, 0, node.ret_value}));
    return;
  }
  EmitJump(node);
  SetPlace(id, Entry::kTest, reversed_.size() - 1);
  const std::uint32_t mask = MaskInAccumulator(node.predicate);
  if (mask != kWhole && (Needs(id, Entry::kMask) || Needs(id, Entry::kLoad))) {
    SetPlace(id, Entry::kMask, Push({BPF_ALU | BPF_AND | BPF_K, 0, 0, mask}));
  }
  if (Needs(id, Entry::kLoad)) {
    const std::uint32_t offset = node.predicate.word * std::uint32_t{sizeof(std::uint32_t)};
    SetPlace(id, Entry::kLoad, Push({BPF_LD | BPF_W | BPF_ABS, 0, 0, offset}));
  }
}

bpf::Program Emitter::Run(const std::vector<NodeId>& order) {
  MarkNeededEntries(order);
  for (auto id = order.rbegin(); id != order.rend(); ++id) EmitNode(*id);
  return {reversed_.rbegin(), reversed_.rend()};
}

std::vector<NodeId> Emitter::UnusedLeaves(const std::vector<NodeId>& order) const {
  std::vector<NodeId> unused;
  for (const NodeId id : order) {
    const Places& places = places_[id][Index(Entry::kTest)];
    const bool is_written = graph_.pool[id].is_leaf && !copied_[id];
    if (is_written && !places.original_is_used && id != graph_.root) unused.push_back(id);
  }
  return unused;
}

}  // namespace

bpf::Program Emit(const Graph& graph) { return Emit(graph, PlainLayout(graph)); }

bpf::Program Emit(const Graph& graph, const std::vector<NodeId>& order) {
  std::vector<bool> copied(graph.root + 1, false);
  while (true) {
    Emitter emitter(graph, copied);
    bpf::Program program = emitter.Run(order);
    const std::vector<NodeId> unused = emitter.UnusedLeaves(order);
    if (unused.empty()) return program;
    // Without them distances shrink, so fewer copies are needed; each round leaves out more.
    for (const NodeId leaf : unused) copied[leaf] = true;
  }
}

}  // namespace callgate::codegen
