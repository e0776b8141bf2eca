#include "policy/reach.h"

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "fmt/format.h"
#include "policy/ranges.h"

namespace callgate::policy {
namespace {

// Each predicate is seen through one operand at a time: which of its values can make the predicate
// true? Comparisons of another operand, and masked ones, may be true for any value, so the answer
// is a superset, and is exact when there are none of those. An empty superset is a contradiction
// (`fd == 1 && fd == 2`). A superset that lies within the exact sets of earlier clauses is never
// reached (`fd < 10; fd == 3`). Two predicates that are equal are found as such, whatever they
// test.
//
// Rejected: a solver. Clauses over several operands overlap in useful ways, and a wrong warning
// teaches people to ignore warnings.

bool SameRegister(const Operand& a, const Operand& b) {
  return a.field == b.field && a.slot == b.slot && a.high_slot == b.high_slot && a.bits == b.bits &&
         a.is_signed == b.is_signed;
}

bool IsUnmasked(const Expr& expr) {
  std::uint64_t all =
      expr.operand.bits >= 64 ? UINT64_MAX : (std::uint64_t{1} << expr.operand.bits) - 1;
  return (expr.mask & all) == all;
}

struct View {
  RangeSet values;
  bool exact = true;
};

RangeSet ValuesOf(const Expr& expr) {
  const Operand& operand = expr.operand;
  auto ordinal = [&](std::uint64_t value) { return OrdinalOf(value, operand.is_signed); };
  std::vector<Range> ranges;
  if (expr.kind == Expr::Kind::kIn) {
    for (Range range : expr.ranges) ranges.push_back({ordinal(range.low), ordinal(range.high)});
    return RangeSet::Of(std::move(ranges));
  }
  Range domain = DomainOf(operand);
  std::uint64_t low = ordinal(domain.low), high = ordinal(domain.high);
  std::uint64_t at = ordinal(expr.constant);
  switch (expr.op) {
    case Compare::kEqual:
      ranges = {{at, at}};
      break;
    case Compare::kNotEqual:
      if (at > low) ranges.push_back({low, at - 1});
      if (at < high) ranges.push_back({at + 1, high});
      break;
    case Compare::kLess:
      if (at > low) ranges = {{low, at - 1}};
      break;
    case Compare::kLessEqual:
      ranges = {{low, at}};
      break;
    case Compare::kGreater:
      if (at < high) ranges = {{at + 1, high}};
      break;
    case Compare::kGreaterEqual:
      ranges = {{at, high}};
      break;
  }
  return RangeSet::Of(std::move(ranges));
}

View Through(const Expr& expr, const Operand& operand) {
  RangeSet all = RangeSet::All(operand);
  switch (expr.kind) {
    case Expr::Kind::kConstant:
      return {expr.truth ? all : RangeSet(), true};
    case Expr::Kind::kCompare:
    case Expr::Kind::kIn:
      if (!SameRegister(expr.operand, operand) || !IsUnmasked(expr)) return {all, false};
      return {ValuesOf(expr), true};
    case Expr::Kind::kDeep:
      return {all, false};
    case Expr::Kind::kNot: {
      View child = Through(expr.children.front(), operand);
      if (!child.exact) return {all, false};
      return {child.values.ComplementIn(all), true};
    }
    case Expr::Kind::kAnd:
    case Expr::Kind::kOr:
      break;
  }
  // An intersection is what no complement holds: one sort for any number of children.
  bool is_and = expr.kind == Expr::Kind::kAnd;
  std::vector<RangeSet> parts;
  bool exact = true;
  for (const Expr& child : expr.children) {
    View view = Through(child, operand);
    exact &= view.exact;
    parts.push_back(is_and ? view.values.ComplementIn(all) : std::move(view.values));
  }
  RangeSet joined = RangeSet::Union(parts);
  return {is_and ? joined.ComplementIn(all) : std::move(joined), exact};
}

void CollectOperands(const Expr& expr, std::vector<const Operand*>& operands) {
  if (expr.kind == Expr::Kind::kDeep) return;  // its child is about another value
  if (expr.kind == Expr::Kind::kCompare || expr.kind == Expr::Kind::kIn) {
    bool known = std::ranges::any_of(
        operands, [&](const Operand* other) { return SameRegister(*other, expr.operand); });
    if (!known) operands.push_back(&expr.operand);
  }
  for (const Expr& child : expr.children) CollectOperands(child, operands);
}

// Equal texts: equal predicates.
void AppendKey(const Expr& expr, std::string& key) {
  auto append = [&](auto... parts) { ((key += std::to_string(parts), key += ' '), ...); };
  append(static_cast<int>(expr.kind));
  switch (expr.kind) {
    case Expr::Kind::kConstant:
      append(static_cast<int>(expr.truth));
      break;
    case Expr::Kind::kCompare:
    case Expr::Kind::kIn:
      append(static_cast<int>(expr.operand.field), +expr.operand.slot,
             static_cast<int>(expr.operand.high_slot.value_or(255)), +expr.operand.bits,
             static_cast<int>(expr.operand.is_signed), expr.mask);
      if (expr.kind == Expr::Kind::kCompare) {
        append(static_cast<int>(expr.op), expr.constant);
      } else {
        for (Range range : expr.ranges) append(range.low, range.high);
      }
      break;
    case Expr::Kind::kDeep:
      append(static_cast<int>(expr.deep->match), static_cast<int>(expr.deep->negated));
      key += expr.deep->subject.name;
      for (const std::string& text : expr.deep->texts) {
        append(text.size());
        key += text;
      }
      for (const IpNetwork& network : expr.deep->networks) {
        append(network.prefix);
        key.append(network.address.begin(), network.address.end());
      }
      break;
    case Expr::Kind::kAnd:
    case Expr::Kind::kOr:
    case Expr::Kind::kNot:
      break;
  }
  key += '(';
  for (const Expr& child : expr.children) AppendKey(child, key);
  key += ')';
}

// Values of one operand that earlier clauses decide. Grows by merging; every range is merged away
// at most once, so n clauses cost n log n.
class Covered {
 public:
  void Add(const RangeSet& set) {
    for (Range range : set.ranges()) {
      auto next = ranges_.upper_bound(range.low);
      if (next != ranges_.begin()) {
        auto before = std::prev(next);
        if (before->second == UINT64_MAX || before->second + 1 >= range.low) next = before;
      }
      while (next != ranges_.end() && (range.high == UINT64_MAX || next->first <= range.high + 1)) {
        range.low = std::min(range.low, next->first);
        range.high = std::max(range.high, next->second);
        next = ranges_.erase(next);
      }
      ranges_[range.low] = range.high;
    }
  }

  bool Contains(const RangeSet& set) const {
    return std::ranges::all_of(set.ranges(), [&](Range range) {
      auto next = ranges_.upper_bound(range.low);
      return next != ranges_.begin() && std::prev(next)->second >= range.high;
    });
  }

 private:
  std::map<std::uint64_t, std::uint64_t> ranges_;  // low → high
};

class Reach {
 public:
  explicit Reach(Report& report) : report_(report) {}

  void Check(const Clause& clause) {
    const Expr& predicate = clause.predicate;
    if (everything_) return Dead(clause);
    std::vector<const Operand*> operands;
    CollectOperands(predicate, operands);
    Operand none;
    if (operands.empty()) operands.push_back(&none);

    bool covered = false;
    for (const Operand* operand : operands) {
      View view = Through(predicate, *operand);
      // A plain 0 is how one says "never".
      if (view.values.empty() && predicate.kind != Expr::Kind::kConstant) {
        return report_.Doubt(Report::Reason::kNeverReached, clause.span,
                             "this clause never matches",
                             fmt::format("no value of '{}' passes all its tests", operand->name));
      }
      Covered& earlier = CoveredBy(*operand);
      covered |= !view.values.empty() && earlier.Contains(view.values);
      if (view.exact) {
        everything_ |= view.values == RangeSet::All(*operand);
        earlier.Add(view.values);
      }
    }
    std::string key;
    AppendKey(predicate, key);
    bool repeated = !predicates_.insert(std::move(key)).second;
    if (covered || repeated) return Dead(clause);
    report_.Clear(Report::Reason::kNeverReached, clause.span);
  }

 private:
  void Dead(const Clause& clause) {
    report_.Doubt(Report::Reason::kNeverReached, clause.span, "this clause is never reached",
                  "clauses above it match whenever it would");
  }

  Covered& CoveredBy(const Operand& operand) {
    for (auto& [known, covered] : covered_) {
      if (SameRegister(known, operand)) return covered;
    }
    return covered_.emplace_back(operand, Covered()).second;
  }

  Report& report_;
  bool everything_ = false;
  std::vector<std::pair<Operand, Covered>> covered_;  // at most a few registers and types
  std::set<std::string> predicates_;
};

}  // namespace

void CheckReach(std::span<const Clause> clauses, Report& report) {
  Reach reach(report);
  for (const Clause& clause : clauses) reach.Check(clause);
}

}  // namespace callgate::policy
