// Predicates as unions of cubes.
//
// A comparison with a constant is a union of at most 64 bit prefixes: x < 6 (110b) is 0xx, 10x.
// Each is a masked equality, which every format with argument tests can say, exactly and without
// naming an argument twice. Conjunction is the product, negation what is left of everything when
// the cubes are taken away one by one (the "sharp" product of two-level logic). Nearly all
// predicates in use have a handful of cubes; the few that have hundreds are given up.

#include "format/cubes.h"

#include <algorithm>
#include <bit>

#include "abi/syscalls.h"

namespace callgate::format {
namespace {

std::optional<Cube> IntersectCubes(const Cube& a, const Cube& b) {
  Cube result;
  for (std::size_t i = 0; i < a.mask.size(); ++i) {
    if (((a.value[i] ^ b.value[i]) & a.mask[i] & b.mask[i]) != 0) return std::nullopt;
    result.mask[i] = a.mask[i] | b.mask[i];
    result.value[i] = a.value[i] | b.value[i];
  }
  return result;
}

// a without b, as disjoint cubes.
void SubtractCube(const Cube& a, const Cube& b, CubeSet& out) {
  if (!IntersectCubes(a, b)) {
    out.push_back(a);
    return;
  }
  Cube rest = a;
  for (std::size_t i = 0; i < a.mask.size(); ++i) {
    for (std::uint64_t free = b.mask[i] & ~a.mask[i]; free != 0; free &= free - 1) {
      std::uint64_t bit = free & (0 - free);
      Cube piece = rest;
      piece.mask[i] |= bit;
      piece.value[i] |= ~b.value[i] & bit;
      out.push_back(piece);
      rest.mask[i] |= bit;
      rest.value[i] |= b.value[i] & bit;
    }
  }
}

const CubeSet kEverything{Cube{}};

std::uint64_t WidthMask(int bits) {
  return bits == 64 ? UINT64_MAX : (std::uint64_t{1} << bits) - 1;
}

// (mask, value) pairs of one 64-bit number: those with (x & mask) < limit.
struct Prefix {
  std::uint64_t mask = 0;
  std::uint64_t value = 0;
};

std::vector<Prefix> Below(std::uint64_t mask, int bits, std::uint64_t limit) {
  std::vector<Prefix> prefixes;
  Prefix fixed;
  for (int i = bits - 1; i >= 0; --i) {
    std::uint64_t bit = std::uint64_t{1} << i;
    bool looked_at = (mask & bit) != 0;
    if ((limit & bit) != 0) {
      prefixes.push_back({fixed.mask | (mask & bit), fixed.value});
      if (!looked_at) return prefixes;
      fixed.value |= bit;
    }
    fixed.mask |= mask & bit;
  }
  return prefixes;
}

// Inclusive, unsigned.
std::vector<Prefix> Between(std::uint64_t mask, int bits, std::uint64_t low, std::uint64_t high) {
  std::uint64_t all = WidthMask(bits);
  std::vector<Prefix> result;
  if (low == high) {
    if ((low & ~(mask & all)) == 0) result.push_back({mask & all, low});
    return result;
  }
  // x ≤ high is x < high + 1; x ≥ low differs upwards from `low` at some bit, or nowhere.
  std::vector<Prefix> at_most{{0, 0}}, at_least{{0, 0}};
  if (high < all) at_most = Below(mask, bits, high + 1);
  if (low > 0) {
    at_least.clear();
    Prefix fixed;
    bool possible = true;
    for (int i = bits - 1; i >= 0 && possible; --i) {
      std::uint64_t bit = std::uint64_t{1} << i;
      bool looked_at = (mask & bit) != 0;
      if ((low & bit) != 0) {
        possible = looked_at;
        fixed.value |= bit;
      } else if (looked_at) {
        at_least.push_back({fixed.mask | bit, fixed.value | bit});
      }
      fixed.mask |= mask & bit;
    }
    if (possible) at_least.push_back(fixed);
  }
  for (const Prefix& a : at_most) {
    for (const Prefix& b : at_least) {
      if (((a.value ^ b.value) & a.mask & b.mask) != 0) continue;
      result.push_back({a.mask | b.mask, a.value | b.value});
    }
  }
  return result;
}

class Cuber {
 public:
  std::optional<CubeSet> Of(const policy::Expr& expr) {
    using Kind = policy::Expr::Kind;
    switch (expr.kind) {
      case Kind::kConstant:
        return expr.truth ? kEverything : CubeSet{};
      case Kind::kCompare:
        return OfCompare(expr);
      case Kind::kIn:
        return OfRanges(expr, expr.ranges);
      case Kind::kAnd:
      case Kind::kOr:
        return OfChain(expr);
      case Kind::kNot: {
        auto child = Of(expr.children.front());
        if (!child) return std::nullopt;
        return Subtract(kEverything, *child);
      }
      case Kind::kDeep:
        break;  // memory is no set of registers
    }
    return std::nullopt;
  }

 private:
  std::optional<CubeSet> OfChain(const policy::Expr& expr) {
    bool is_and = expr.kind == policy::Expr::Kind::kAnd;
    std::optional<CubeSet> result = is_and ? kEverything : CubeSet{};
    for (const policy::Expr& child : expr.children) {
      auto one = Of(child);
      if (!one) return std::nullopt;
      if (is_and) {
        result = Intersect(*result, *one);
      } else if (auto rest = Subtract(*one, *result)) {
        result->insert(result->end(), rest->begin(), rest->end());
      } else {
        return std::nullopt;
      }
      if (!result || result->size() > kMaxCubes) return std::nullopt;
    }
    return result;
  }

  std::optional<CubeSet> OfCompare(const policy::Expr& expr) {
    using policy::Compare;
    const std::uint64_t low = expr.operand.is_signed ? std::uint64_t{1} << 63U : 0;
    const std::uint64_t high = expr.operand.is_signed ? INT64_MAX : UINT64_MAX;
    const std::uint64_t c = expr.constant;
    const std::uint64_t lowest = expr.operand.is_signed && expr.operand.bits == 32
                                     ? static_cast<std::uint64_t>(std::int64_t{INT32_MIN})
                                     : low;
    const std::uint64_t highest =
        expr.operand.bits == 32 ? (expr.operand.is_signed ? INT32_MAX : UINT32_MAX) : high;
    auto ranges = [&](std::uint64_t from, std::uint64_t to) {
      return OfRanges(expr, {{from, to}});
    };
    switch (expr.op) {
      case Compare::kEqual:
        return ranges(c, c);
      case Compare::kNotEqual: {
        auto equal = ranges(c, c);
        if (!equal) return std::nullopt;
        return Subtract(kEverything, *equal);
      }
      case Compare::kLess:
        return c == lowest ? CubeSet{} : ranges(lowest, c - 1);
      case Compare::kLessEqual:
        return ranges(lowest, c);
      case Compare::kGreater:
        return c == highest ? CubeSet{} : ranges(c + 1, highest);
      case Compare::kGreaterEqual:
        return ranges(c, highest);
    }
    return std::nullopt;
  }

  std::optional<CubeSet> OfRanges(const policy::Expr& expr,
                                  const std::vector<policy::Range>& ranges) {
    const policy::Operand& operand = expr.operand;
    if (operand.field != policy::Operand::Field::kArgument) return std::nullopt;
    const int bits = operand.bits;
    const std::uint64_t all = WidthMask(bits);
    CubeSet result;
    auto add = [&](std::uint64_t low, std::uint64_t high) {
      for (const Prefix& prefix : Between(expr.mask & all, bits, low, high)) {
        result.push_back(Place(operand, prefix));
      }
    };
    for (const policy::Range& range : ranges) {
      std::uint64_t low = range.low & all, high = range.high & all;
      // A range across zero of a signed number is two of bit patterns.
      if (low > high) {
        add(low, all);
        add(0, high);
      } else {
        add(low, high);
      }
      if (result.size() > kMaxCubes) return std::nullopt;
    }
    return result;
  }

  static Cube Place(const policy::Operand& operand, const Prefix& prefix) {
    Cube cube;
    if (!operand.high_slot) {
      cube.mask[operand.slot] = prefix.mask;
      cube.value[operand.slot] = prefix.value;
      return cube;
    }
    cube.mask[operand.slot] = prefix.mask & UINT32_MAX;
    cube.value[operand.slot] = prefix.value & UINT32_MAX;
    cube.mask[*operand.high_slot] = prefix.mask >> 32U;
    cube.value[*operand.high_slot] = prefix.value >> 32U;
    return cube;
  }
};

void AddPart(std::vector<ActionCubes>& parts, const policy::PolicyAction& action,
             const CubeSet& cubes) {
  if (cubes.empty()) return;
  auto place = std::ranges::find(parts, action, &ActionCubes::action);
  if (place == parts.end()) place = parts.insert(place, {action, {}});
  place->cubes.insert(place->cubes.end(), cubes.begin(), cubes.end());
}

// What no clause before the last unconditional one takes is `rest`, never written out as cubes: the
// complement of a comparison has many.
bool FlattenList(const policy::ClauseList& list, FlatCall& call) {
  CubeSet taken;
  for (const policy::Clause& clause : list.clauses) {
    auto cubes = CubesOf(clause.predicate);
    if (!cubes) return false;
    if (*cubes == kEverything) {
      call.rest = clause.action;
      break;
    }
    auto here = Subtract(*cubes, taken);
    if (!here) return false;
    AddPart(call.parts, clause.action, *here);
    taken.insert(taken.end(), here->begin(), here->end());
    if (taken.size() > kMaxCubes) return false;
  }
  std::erase_if(call.parts, [&](const ActionCubes& part) { return part.action == call.rest; });
  return true;
}

// The stricter of two lists, call by call; the earlier one's action on a tie.
bool Restrict(FlatCall& call, const FlatCall& other) {
  auto stricter = [](const policy::PolicyAction& a, const policy::PolicyAction& b) {
    return KernelAction(b).Outranks(KernelAction(a)) ? b : a;
  };
  FlatCall result = call;
  result.parts.clear();
  result.rest = stricter(call.rest, other.rest);
  auto add = [&](const policy::PolicyAction& action, const std::optional<CubeSet>& cubes) {
    if (cubes && !(action == result.rest)) AddPart(result.parts, action, *cubes);
    return cubes.has_value();
  };
  for (const ActionCubes& one : call.parts) {
    for (const ActionCubes& two : other.parts) {
      if (!add(stricter(one.action, two.action), Intersect(one.cubes, two.cubes))) return false;
    }
    if (!add(stricter(one.action, other.rest), Subtract(one.cubes, UnionOf(other.parts)))) {
      return false;
    }
  }
  for (const ActionCubes& two : other.parts) {
    if (!add(stricter(call.rest, two.action), Subtract(two.cubes, UnionOf(call.parts)))) {
      return false;
    }
  }
  call = std::move(result);
  return true;
}

FlatCall FlattenRule(const policy::TypedPolicy& policy, const policy::Rule& rule) {
  FlatCall call{rule.nr, rule.syscall, true, {}, policy.default_action};
  bool is_first = true;
  for (const policy::ClauseList& list : rule.lists) {
    FlatCall one{rule.nr, rule.syscall, true, {}, policy.default_action};
    bool ok = FlattenList(list, one) && (is_first || Restrict(call, one));
    if (!ok) return {rule.nr, rule.syscall, false, {}, policy.default_action};
    if (is_first) call = std::move(one);
    is_first = false;
  }
  return call;
}

}  // namespace

std::optional<CubeSet> Intersect(const CubeSet& a, const CubeSet& b) {
  CubeSet result;
  for (const Cube& one : a) {
    for (const Cube& two : b) {
      if (auto both = IntersectCubes(one, two)) result.push_back(*both);
    }
    if (result.size() > kMaxCubes) return std::nullopt;
  }
  return result;
}

std::optional<CubeSet> Subtract(const CubeSet& a, const CubeSet& b) {
  CubeSet rest = a;
  for (const Cube& taken : b) {
    CubeSet next;
    for (const Cube& one : rest) SubtractCube(one, taken, next);
    rest = std::move(next);
    if (rest.size() > kMaxCubes) return std::nullopt;
  }
  return rest;
}

CubeSet UnionOf(const std::vector<ActionCubes>& parts) {
  CubeSet all;
  for (const ActionCubes& part : parts) {
    all.insert(all.end(), part.cubes.begin(), part.cubes.end());
  }
  return all;
}

std::optional<std::vector<Difference>> Differences(const FlatCall& before, const FlatCall& after) {
  if (!before.is_known || !after.is_known) return std::nullopt;
  std::vector<Difference> found;
  bool is_clear = true;
  auto add = [&](const policy::PolicyAction& a, const policy::PolicyAction& b,
                 const std::optional<CubeSet>& cubes) {
    if (!cubes) is_clear = false;
    if (cubes && !cubes->empty()) found.push_back({a, b});
  };
  auto same = [](const policy::PolicyAction& a, const policy::PolicyAction& b) {
    return KernelAction(a) == KernelAction(b);
  };
  for (const ActionCubes& a : before.parts) {
    for (const ActionCubes& b : after.parts) {
      if (!same(a.action, b.action)) add(a.action, b.action, Intersect(a.cubes, b.cubes));
    }
    if (!same(a.action, after.rest))
      add(a.action, after.rest, Subtract(a.cubes, UnionOf(after.parts)));
  }
  for (const ActionCubes& b : after.parts) {
    if (same(before.rest, b.action)) continue;
    add(before.rest, b.action, Subtract(b.cubes, UnionOf(before.parts)));
  }
  if (!same(before.rest, after.rest)) {
    CubeSet all = UnionOf(before.parts), more = UnionOf(after.parts);
    all.insert(all.end(), more.begin(), more.end());
    add(before.rest, after.rest, Subtract(kEverything, all));
  }
  if (!is_clear) return std::nullopt;
  return found;
}

std::optional<CubeSet> CubesOf(const policy::Expr& expr) { return Cuber().Of(expr); }

std::vector<FlatArch> Flatten(const policy::TypedPolicy& policy) {
  std::vector<FlatArch> arches;
  for (const policy::ArchPolicy& arch : policy.arches) {
    FlatArch flat{arch.arch, {}};
    auto rule = arch.rules.begin();
    for (const abi::Syscall& syscall : abi::SyscallsOf(arch.arch)) {
      for (; rule != arch.rules.end() && rule->nr < syscall.nr; ++rule) {
        flat.calls.push_back(FlattenRule(policy, *rule));
      }
      if (!flat.calls.empty() && flat.calls.back().nr == syscall.nr) continue;
      if (rule != arch.rules.end() && rule->nr == syscall.nr) {
        flat.calls.push_back(FlattenRule(policy, *rule));
        ++rule;
        continue;
      }
      bool newer = policy.as_of && syscall.since && *syscall.since > *policy.as_of;
      const policy::PolicyAction& action = newer ? policy.unknown_action : policy.default_action;
      flat.calls.push_back({syscall.nr, std::string(syscall.name), true, {}, action});
    }
    for (; rule != arch.rules.end(); ++rule) flat.calls.push_back(FlattenRule(policy, *rule));
    arches.push_back(std::move(flat));
  }
  return arches;
}

}  // namespace callgate::format
