// CG03xx and CG0205: does the filter look at the bits that the kernel looks at?
//
// A register is 64 bits, most arguments are 32, and a filter compares words. What a filter does
// with the upper word of a 32-bit argument is seen by asking it twice: once as it is, once with the
// upper word known to be 0. A call that the first allows and the second denies is a denial that
// can be walked past; the other way round, an allow that may fail. Sign-extended negative values
// have all ones above, and filters that expect that are right.

#include <algorithm>
#include <string>
#include <vector>

#include "abi/syscalls.h"
#include "fmt/format.h"
#include "graph/reach.h"
#include "lint/subject.h"

namespace callgate::lint {
namespace {

using graph::Node;
using graph::NodeId;
using graph::Op;

struct Slot {
  abi::ArchId arch;
  const abi::Syscall& syscall;
  const abi::Argument& argument;
  NodeId body;
  std::uint8_t low;
  std::uint8_t high;

  std::string Text() const { return fmt::format("'{}' of {}", argument.name, syscall.name); }
};

// Calls of one kind of finding, told in one message.
struct Together {
  std::vector<std::string> calls;
  std::optional<abi::Call> first;
};

bool IsPointer(abi::ArgKind kind) {
  using enum abi::ArgKind;
  return kind == kPath || kind == kString || kind == kStringVector || kind == kSockaddr ||
         kind == kStruct || kind == kBuffer || kind == kPointer;
}

class WidthChecker {
 public:
  WidthChecker(Subject& subject, Findings& findings)
      : subject_(subject), decisions_(subject.decisions), findings_(findings) {}

  void Run() {
    for (const abi::ArchId arch : subject_.arches) {
      for (const abi::Syscall& syscall : abi::SyscallsOf(arch)) {
        const NodeId body = decisions_.BodyOf(arch, syscall);
        const auto signature = abi::SignatureOf(arch, syscall.name);
        if (decisions_.pool()[body].is_leaf || !signature) continue;
        for (std::size_t i = 0; i < signature->size(); ++i) {
          const std::endian order = abi::ArchOf(arch).endian;
          const int index = static_cast<int>(i);
          Check({arch, syscall, (*signature)[i], body, abi::ArgLowWord(index, order),
                 abi::ArgHighWord(index, order)});
        }
      }
    }
    TellWideAllows();
  }

 private:
  void Check(const Slot& slot) {
    if (IsPointer(slot.argument.kind)) CheckPointer(slot);
    // 32-bit ABIs have nothing above.
    if (abi::ArchOf(slot.arch).bits != 64) {
      CheckSign(slot);
      return;
    }
    if (slot.argument.bits <= 32) {
      if (Tests(slot, slot.high)) CheckWide(slot);
      CheckSign(slot);
    } else {
      CheckNarrow(slot);
    }
  }

  bool Tests(const Slot& slot, std::uint8_t word) const {
    const auto nodes = graph::ReachableFrom(decisions_.pool(), slot.body);
    return std::ranges::any_of(nodes, [&](NodeId id) {
      const Node& node = decisions_.pool()[id];
      return !node.is_leaf && node.predicate.word == word;
    });
  }

  std::optional<abi::Call> Pair(const Slot& slot, NodeId a, NodeId b, Outcome a_is, Outcome b_is) {
    const auto words = decisions_.FindPair(a, b, [&](std::uint32_t x, std::uint32_t y) {
      return decisions_.OutcomeOf(x) == a_is && decisions_.OutcomeOf(y) == b_is;
    });
    if (!words) return std::nullopt;
    return CallOf(*words, slot.arch, slot.syscall.nr);
  }

  void CheckWide(const Slot& slot) {
    graph::Pool& pool = decisions_.pool();
    const NodeId clean = decisions_.WithWord(slot.body, slot.high, 0);
    // A leaf of neither outcome for the two forms that compilers make: none of them is a trick.
    const NodeId usual = pool.Leaf(abi::Action{abi::ActionKind::kTrace, 0});
    auto unusual = [&](NodeId body) {
      return pool.Test({slot.high, Op::kEqual, UINT32_MAX, 0}, usual,
                       pool.Test({slot.high, Op::kEqual, UINT32_MAX, UINT32_MAX}, usual, body));
    };
    if (const auto call =
            Pair(slot, unusual(slot.body), clean, Outcome::kAllowed, Outcome::kDenied)) {
      Finding& finding = findings_.Add(
          Id::kWideDenial, *call,
          fmt::format("{} is {} bits wide and compared as 64", slot.Text(), slot.argument.bits));
      abi::Call seen = *call;
      const int index = (slot.low - 4) / 2;
      seen.args[index] &= UINT32_MAX;
      finding.notes.push_back(fmt::format("to the kernel this is {}", findings_.WitnessText(seen)));
      return;
    }
    const auto call = Pair(slot, slot.body, clean, Outcome::kDenied, Outcome::kAllowed);
    if (!call) return;
    if (!wide_allows_.first) wide_allows_.first = call;
    wide_allows_.calls.push_back(slot.Text());
  }

  void CheckNarrow(const Slot& slot) {
    using enum abi::ArgKind;
    const abi::ArgKind kind = slot.argument.kind;
    // Flags are tested bit by bit, and those that exist are below; halves are joined elsewhere.
    if (IsPointer(kind) || kind == kFlags || kind == kEnum || kind == kVariant ||
        kind == kLowHalf || kind == kHighHalf || kind == kUnused || Tests(slot, slot.high)) {
      return;
    }
    const auto nodes = graph::ReachableFrom(decisions_.pool(), slot.body);
    const bool is_value_test = std::ranges::any_of(nodes, [&](NodeId id) {
      const Node& node = decisions_.pool()[id];
      return !node.is_leaf && node.predicate.word == slot.low &&
             node.predicate.mask == UINT32_MAX && node.predicate.op != Op::kAnyBit;
    });
    if (!is_value_test) return;
    // Allowed because of the low half: another low half is denied.
    const NodeId body = slot.body;
    for (const NodeId id : nodes) {
      const Node node = decisions_.pool()[id];
      if (node.is_leaf || node.predicate.word != slot.low) continue;
      for (const std::uint32_t other : {node.predicate.constant + 1, node.predicate.constant - 1}) {
        auto call = Pair(slot, body, decisions_.WithWord(body, slot.low, other), Outcome::kAllowed,
                         Outcome::kDenied);
        if (!call) continue;
        call->args[(slot.low - 4) / 2] |= std::uint64_t{1} << 32U;
        findings_.Add(
            Id::kNarrowTest, *call,
            fmt::format("{} is 64 bits wide, and the upper half is not looked at", slot.Text()));
        return;
      }
    }
  }

  void CheckSign(const Slot& slot) {
    if (!slot.argument.is_signed || slot.argument.bits != 32) return;
    const auto nodes = graph::ReachableFrom(decisions_.pool(), slot.body);
    const bool is_ordered = std::ranges::any_of(nodes, [&](NodeId id) {
      const Node& node = decisions_.pool()[id];
      const Op op = node.is_leaf ? Op::kEqual : node.predicate.op;
      return (op == Op::kGreater || op == Op::kAtLeast) && node.predicate.word == slot.low &&
             node.predicate.mask == UINT32_MAX && node.predicate.constant < 0x80000000U;
    });
    if (!is_ordered) return;
    graph::Pool& pool = decisions_.pool();
    const NodeId negative = pool.Test({slot.low, Op::kAtLeast, UINT32_MAX, 0x80000000U}, slot.body,
                                      pool.Leaf(abi::Action{abi::ActionKind::kTrace, 0}));
    const auto call = Pair(slot, negative, decisions_.WithWord(slot.body, slot.low, 0),
                           Outcome::kAllowed, Outcome::kDenied);
    if (!call) return;
    findings_.Add(
        Id::kUnsignedOrder, *call,
        fmt::format("{} is signed, and negative values pass a limit from below", slot.Text()));
  }

  void CheckPointer(const Slot& slot) {
    const auto nodes = graph::ReachableFrom(decisions_.pool(), slot.body);
    const bool is_compared = std::ranges::any_of(nodes, [&](NodeId id) {
      const Node& node = decisions_.pool()[id];
      if (node.is_leaf) return false;
      if (node.predicate.word != slot.low && node.predicate.word != slot.high) return false;
      return node.predicate.op != Op::kEqual || node.predicate.constant != 0;
    });
    if (!is_compared) return;
    auto call =
        decisions_.Find(slot.arch, CallPattern{.syscall = slot.syscall.name}, Outcome::kAllowed);
    if (!call) {
      call =
          decisions_.Find(slot.arch, CallPattern{.syscall = slot.syscall.name}, Outcome::kDenied);
    }
    if (!call) return;
    findings_.Add(Id::kPointerByValue, *call,
                  fmt::format("{} is an address; what it points to is not seen", slot.Text()));
  }

  void TellWideAllows() {
    if (!wide_allows_.first) return;
    std::vector<std::string> names = wide_allows_.calls;
    std::ranges::sort(names);
    names.erase(std::ranges::unique(names).begin(), names.end());
    std::string list;
    for (std::size_t i = 0; i < names.size() && i < 3; ++i) {
      list += (i == 0 ? "" : ", ") + names[i];
    }
    if (names.size() > 3) list += fmt::format(" and {} more", names.size() - 3);
    findings_.Add(Id::kWideAllow, *wide_allows_.first,
                  "an allowed value with anything above it is denied: " + list);
  }

  Subject& subject_;
  Decisions& decisions_;
  Findings& findings_;
  Together wide_allows_;
};

}  // namespace

void CheckWidths(Subject& subject, Findings& findings) { WidthChecker(subject, findings).Run(); }

}  // namespace callgate::lint
