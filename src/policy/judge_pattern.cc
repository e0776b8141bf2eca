#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "policy/call_text.h"

namespace callgate::policy {
namespace {

// A call with holes is judged at the values where verdicts can change. A test of an unmasked
// operand changes only next to its constants, so each constant, its neighbours and the ends of the
// type stand for all values. A masked test is made true and false on every value known so far; the
// result is closed under that while it stays small. All combinations over the registers with holes
// are judged. With masks or too many combinations the answer is a sample and says so.

constexpr std::size_t kMaxValues = 512;          // of one register
constexpr std::size_t kMaxJudgements = 200'000;  // about 100 ms

using Values = std::set<std::uint64_t>;

struct Search {
  std::array<Values, 6> values;
  std::array<bool, 6> is_tested{};
  std::vector<std::tuple<Operand, std::uint64_t, std::uint64_t>> masked;  // operand, mask, constant
  std::array<std::set<std::string>, 6> names;
};

void Note(Search& search, const Operand& operand, std::uint64_t value) {
  search.values[operand.slot].insert(operand.high_slot ? value & UINT32_MAX : value);
  if (operand.high_slot) search.values[*operand.high_slot].insert(value >> 32U);
}

void Collect(const Expr& expr, Search& search) {
  if (expr.kind == Expr::Kind::kDeep) return;  // no hole of the pattern decides it
  for (const Expr& child : expr.children) Collect(child, search);
  bool is_test = expr.kind == Expr::Kind::kCompare || expr.kind == Expr::Kind::kIn;
  if (!is_test || expr.operand.field == Operand::Field::kInstructionPointer) return;
  const Operand& operand = expr.operand;
  std::uint64_t all = operand.bits >= 64 ? UINT64_MAX : (std::uint64_t{1} << operand.bits) - 1;
  search.is_tested[operand.slot] = true;
  search.names[operand.slot].insert(operand.name);
  if (operand.high_slot) {
    search.is_tested[*operand.high_slot] = true;
    search.names[*operand.high_slot].insert(operand.name);
  }
  auto note_around = [&](std::uint64_t value) {
    for (std::uint64_t near : {value - 1, value, value + 1}) Note(search, operand, near & all);
  };
  note_around(0);
  note_around(all / 2);
  if (expr.kind == Expr::Kind::kIn) {
    for (const Range& range : expr.ranges) {
      note_around(range.low);
      note_around(range.high);
    }
  } else {
    note_around(expr.constant);
  }
  if ((expr.mask & all) != all) {
    search.masked.emplace_back(operand, expr.mask & all, expr.constant & all);
  }
}

// Every value known, with each masked test made true, false, and off by its lowest bit.
bool CloseUnderMasks(Search& search) {
  bool grew = true;
  while (grew) {
    grew = false;
    for (const auto& [operand, mask, constant] : search.masked) {
      Values& values = search.values[operand.slot];
      if (operand.high_slot || values.size() > kMaxValues) return false;
      Values more;
      for (std::uint64_t value : values) {
        std::uint64_t lowest = mask & (~mask + 1);
        for (std::uint64_t bits : {constant, constant ^ lowest, std::uint64_t{0}, mask}) {
          std::uint64_t candidate = (value & ~mask) | (bits & mask);
          if (!values.contains(candidate)) more.insert(candidate);
        }
      }
      grew |= !more.empty();
      values.merge(more);
    }
  }
  return search.masked.empty();
}

int Permissiveness(const Verdict& verdict) {
  return static_cast<std::int32_t>(KernelAction(verdict.action).value() & 0xFFFF0000U) >> 16;
}

}  // namespace

PatternVerdicts JudgePattern(const TypedPolicy& policy, const CallPattern& pattern) {
  PatternVerdicts result;
  Search search;
  Verdict first = Judge(policy, pattern.call);
  if (first.rule != nullptr) {
    for (const ClauseList& list : first.rule->lists) {
      for (const Clause& clause : list.clauses) Collect(clause.predicate, search);
    }
  }
  std::vector<std::size_t> holes;
  for (std::size_t slot = 0; slot < 6; ++slot) {
    if (pattern.is_any[slot] && search.is_tested[slot]) holes.push_back(slot);
  }
  bool exact = CloseUnderMasks(search);
  std::vector<std::vector<std::uint64_t>> candidates;
  std::size_t total = 1;
  for (std::size_t slot : holes) {
    candidates.emplace_back(search.values[slot].begin(), search.values[slot].end());
    total = std::min(total * candidates.back().size(), kMaxJudgements + 1);
    for (const std::string& name : search.names[slot]) {
      if (std::ranges::find(result.deciding, name) == result.deciding.end()) {
        result.deciding.push_back(name);
      }
    }
  }
  result.is_exhaustive = holes.empty() || (exact && total <= kMaxJudgements);

  std::set<std::tuple<std::uint32_t, Reason, const Clause*>> seen;
  auto judge = [&](const abi::Call& call) {
    Verdict verdict = Judge(policy, call);
    auto key = std::tuple(KernelAction(verdict.action).value(), verdict.reason, verdict.clause);
    if (seen.insert(key).second) result.cases.push_back({call, verdict});
  };
  // An odometer over the candidates; a linear congruence instead when there are too many.
  std::vector<std::size_t> index(holes.size(), 0);
  bool all = total <= kMaxJudgements;
  std::uint64_t random = 1;
  for (std::size_t round = 0; round < std::min(total, kMaxJudgements); ++round) {
    abi::Call call = pattern.call;
    for (std::size_t i = 0; i < holes.size(); ++i) {
      if (!all) {
        random = random * 6364136223846793005U + 1442695040888963407U;
        index[i] = (random >> 33U) % candidates[i].size();
      }
      call.args[holes[i]] = candidates[i][index[i]];
    }
    judge(call);
    for (std::size_t i = 0; all && i < holes.size(); ++i) {
      if (++index[i] < candidates[i].size()) break;
      index[i] = 0;
    }
  }
  // A clause is found once, so equal verdicts of two clauses stay in the order they were found.
  std::vector<std::size_t> order(result.cases.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [&](std::size_t i) {
    return std::pair(-Permissiveness(result.cases[i].verdict), i);
  });
  std::vector<PatternVerdicts::Case> sorted;
  for (std::size_t i : order) sorted.push_back(result.cases[i]);
  result.cases = std::move(sorted);
  if (result.cases.size() == 1) result.deciding.clear();
  return result;
}

}  // namespace callgate::policy
