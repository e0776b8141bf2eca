#pragma once

#include <cstdint>
#include <vector>

namespace callgate::analyse {

// Boolean functions of up to 2^16 variables as reduced ordered binary decision diagrams (Bryant,
// 1986). Equal functions have equal Refs. Theory and cost: bdd.cc.
class Bdd {
 public:
  using Ref = std::uint32_t;
  using Level = std::uint32_t;  // variables are tested in ascending order of level
  static constexpr Ref kFalse = 0;
  static constexpr Ref kTrue = 1;
  static constexpr Level kTerminalLevel = 1U << 16;

  // An operation is one comparison of two nodes, some tens of nanoseconds, and creates one node at
  // most. Beyond `max_operations` results are kFalse and Exhausted() is true.
  explicit Bdd(std::uint64_t max_operations);

  // "level" as a test: high where it is set, low where it is clear. Both children must be below.
  Ref Make(Level level, Ref low, Ref high);
  Ref Variable(Level level) { return Make(level, kFalse, kTrue); }

  Ref And(Ref a, Ref b) { return Apply(Operator::kAnd, a, b); }
  Ref Or(Ref a, Ref b) { return Apply(Operator::kOr, a, b); }
  Ref Xor(Ref a, Ref b) { return Apply(Operator::kXor, a, b); }
  Ref Without(Ref a, Ref b) { return Apply(Operator::kWithout, a, b); }  // a and not b
  Ref Not(Ref a) { return Apply(Operator::kXor, a, kTrue); }
  Ref Choose(Ref condition, Ref yes, Ref no) {
    return Or(And(condition, yes), Without(no, condition));
  }

  static bool IsTerminal(Ref ref) { return ref <= kTrue; }
  Level LevelOf(Ref ref) const { return nodes_[ref].level; }
  Ref Low(Ref ref) const { return nodes_[ref].low; }
  Ref High(Ref ref) const { return nodes_[ref].high; }

  bool Exhausted() const { return operations_ > max_operations_; }
  std::uint64_t operations() const { return operations_; }
  // Allows `more` operations from now on.
  void Refill(std::uint64_t more) { max_operations_ = operations_ + more; }

 private:
  enum class Operator : std::uint8_t { kAnd, kOr, kXor, kWithout };
  struct Node {
    Level level = kTerminalLevel;
    Ref low = 0;
    Ref high = 0;
  };
  struct CacheEntry {
    Ref a = 0;
    Ref b = 0;
    Operator op = Operator::kAnd;
    bool is_set = false;
    Ref result = 0;
  };

  Ref Apply(Operator op, Ref a, Ref b);
  void Grow();

  std::vector<Node> nodes_;
  std::vector<Ref> table_;         // open addressing; 0: free
  std::vector<CacheEntry> cache_;  // direct-mapped: a newer entry replaces an older one
  std::uint64_t operations_ = 0;
  std::uint64_t max_operations_;
};

}  // namespace callgate::analyse
