#include "testing/random_typed_policy.h"

#include <algorithm>
#include <initializer_list>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "abi/syscalls.h"

namespace callgate::testing {
namespace {

using abi::ArchId;
using policy::ArchPolicy;
using policy::Clause;
using policy::ClauseList;
using policy::Compare;
using policy::Expr;
using policy::Operand;
using policy::PolicyAction;
using policy::Range;
using policy::Rule;
using policy::TypedPolicy;
using policy::Verb;

template <typename T>
const T& Pick(Random& random, const std::vector<T>& from) {
  return from[random() % from.size()];
}

bool OneIn(Random& random, std::uint64_t n) { return random() % n == 0; }

std::uint64_t Extend(const Operand& operand, std::uint64_t raw) {
  const int unused = 64 - operand.bits;
  if (!operand.is_signed) return raw << unused >> unused;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(raw << unused) >> unused);
}

// Halves where carries and sign bits change, and a few that sets share.
std::uint64_t EdgeNumber(Random& random) {
  static const std::vector<std::uint64_t> kHalves = {
      0, 0, 0, 1, 2, 3, 7, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0x7fffffff, 0x80000000, 0xffffffff};
  const std::uint64_t low = Pick(random, kHalves);
  return OneIn(random, 2) ? low : Pick(random, kHalves) << 32 | low;
}

std::uint64_t RandomMask(Random& random) {
  switch (random() % 4) {
    case 0:
      return std::uint64_t{1} << random() % 64;
    case 1:
      return UINT64_MAX << random() % 64;
    case 2:
      return EdgeNumber(random) ^ EdgeNumber(random);
    default:
      return random() & random();
  }
}

class Generator {
 public:
  Generator(Random& random, const RandomPolicyShape& shape) : random_(random), shape_(shape) {}

  TypedPolicy Policy();

 private:
  Operand AnyOperand(ArchId arch);
  Expr Comparison(ArchId arch);
  Expr AnyExpr(ArchId arch, int depth);
  ClauseList List(ArchId arch);
  std::vector<std::int32_t> Numbers(ArchId arch, std::size_t count);
  PolicyAction Action() { return Pick(random_, shape_.actions); }
  std::uint64_t Constant(const Operand& operand) {
    const std::uint64_t near = Pick(random_, stock_) + random_() % 3 - 1;
    return Extend(operand, OneIn(random_, 3) ? near : Pick(random_, stock_));
  }

  Random& random_;
  const RandomPolicyShape& shape_;
  std::vector<std::uint64_t> stock_;
};

Operand Generator::AnyOperand(ArchId arch) {
  static const std::vector<std::uint8_t> kWidths = {8, 16, 32, 32, 32, 64, 64};
  Operand operand;
  if (OneIn(random_, 20)) {
    operand.field = Operand::Field::kInstructionPointer;
    operand.name = "ip";
    return operand;
  }
  // Few arguments, so that several comparisons meet in one.
  operand.slot = static_cast<std::uint8_t>(OneIn(random_, 4) ? random_() % 6 : random_() % 2);
  operand.bits = Pick(random_, kWidths);
  operand.is_signed = OneIn(random_, 2);
  operand.name = "arg" + std::to_string(operand.slot);
  if (operand.bits == 64 && abi::ArchOf(arch).bits == 32 && !OneIn(random_, 4)) {
    operand.high_slot = static_cast<std::uint8_t>((operand.slot + 1 + random_() % 5) % 6);
  }
  return operand;
}

Expr Generator::Comparison(ArchId arch) {
  Expr expr;
  expr.operand = AnyOperand(arch);
  // Extended as a constant is: bits above the width say nothing.
  if (OneIn(random_, 3)) expr.mask = Extend(expr.operand, RandomMask(random_));
  if (OneIn(random_, 4)) {
    expr.kind = Expr::Kind::kIn;
    const std::uint64_t bias = expr.operand.is_signed ? std::uint64_t{1} << 63 : 0;
    for (std::size_t i = 0; i < 1 + random_() % 6; ++i) {
      Range range = {Constant(expr.operand), Constant(expr.operand)};
      if (OneIn(random_, 2)) range.high = range.low;
      if ((range.low ^ bias) > (range.high ^ bias)) std::swap(range.low, range.high);
      expr.ranges.push_back(range);
    }
    return expr;
  }
  expr.kind = Expr::Kind::kCompare;
  expr.op = static_cast<Compare>(random_() % 6);
  expr.constant = Constant(expr.operand);
  // Constants that the mask lets through are the interesting ones.
  if (expr.mask != UINT64_MAX && !OneIn(random_, 4)) expr.constant &= expr.mask;
  return expr;
}

Expr Generator::AnyExpr(ArchId arch, int depth) {
  const std::uint64_t dice = random_() % 10;
  if (depth == 0 || dice < 5) {
    if (OneIn(random_, 12)) {
      Expr expr;
      expr.truth = OneIn(random_, 2);
      return expr;
    }
    return Comparison(arch);
  }
  Expr expr;
  expr.kind = dice < 7 ? Expr::Kind::kAnd : dice < 9 ? Expr::Kind::kOr : Expr::Kind::kNot;
  const std::size_t count = expr.kind == Expr::Kind::kNot ? 1 : 2 + random_() % 3;
  for (std::size_t i = 0; i < count; ++i) expr.children.push_back(AnyExpr(arch, depth - 1));
  return expr;
}

ClauseList Generator::List(ArchId arch) {
  ClauseList list;
  for (std::size_t i = 0; i < 1 + random_() % 3; ++i) {
    list.clauses.push_back({.predicate = AnyExpr(arch, 3), .action = Action(), .span = {}});
  }
  if (OneIn(random_, 4)) {
    Expr always;
    always.truth = true;
    list.clauses.push_back({.predicate = always, .action = Action(), .span = {}});
  }
  return list;
}

std::vector<std::int32_t> Generator::Numbers(ArchId arch, std::size_t count) {
  const std::span<const abi::Syscall> table = abi::SyscallsOf(arch);
  const auto base = static_cast<std::int32_t>(abi::ArchOf(arch).nr_base);
  std::vector<std::int32_t> numbers;
  while (numbers.size() < count) {
    std::int32_t nr = table[random_() % table.size()].nr;
    // Runs of neighbours make ranges; now and then a number that no table has.
    if (OneIn(random_, 3) && !numbers.empty()) nr = numbers.back() + 1;
    if (OneIn(random_, 20)) nr = base + static_cast<std::int32_t>(random_() % 2000);
    numbers.push_back(nr);
  }
  std::ranges::sort(numbers);
  const auto repeated = std::ranges::unique(numbers);
  numbers.erase(repeated.begin(), repeated.end());
  return numbers;
}

TypedPolicy Generator::Policy() {
  for (int i = 0; i < 6; ++i) stock_.push_back(EdgeNumber(random_));
  TypedPolicy policy;
  policy.default_action = Action();
  policy.unknown_action = OneIn(random_, 3) ? policy.default_action : Action();
  policy.bad_arch_action = Action();
  if (OneIn(random_, 2)) {
    policy.as_of = abi::KernelVersion{5, static_cast<std::uint16_t>(random_() % 20)};
  }
  // Mostly small: small failures are the ones that can be read.
  const std::size_t limit =
      OneIn(random_, 10) ? shape_.max_rules : std::min<std::size_t>(shape_.max_rules, 8);
  for (const ArchId arch : Pick(random_, shape_.arch_sets)) {
    ArchPolicy rules{.arch = arch, .rules = {}};
    for (const std::int32_t nr : Numbers(arch, random_() % (limit + 1))) {
      Rule rule{.syscall = "nr" + std::to_string(nr), .nr = nr, .lists = {}};
      const std::size_t lists = OneIn(random_, 4) ? 2 + random_() % 2 : 1;
      // A bare name, as most rules of real policies are.
      if (OneIn(random_, 3)) {
        Expr always;
        always.truth = true;
        rule.lists.push_back(
            {.clauses = {{.predicate = always, .action = Action(), .span = {}}}, .span = {}});
      } else {
        for (std::size_t i = 0; i < lists; ++i) rule.lists.push_back(List(arch));
      }
      rules.rules.push_back(std::move(rule));
    }
    policy.arches.push_back(std::move(rules));
  }
  return policy;
}

void CollectComparisons(const Expr& expr, std::vector<const Expr*>& comparisons) {
  if (expr.kind == Expr::Kind::kCompare || expr.kind == Expr::Kind::kIn) {
    comparisons.push_back(&expr);
  }
  for (const Expr& child : expr.children) CollectComparisons(child, comparisons);
}

// Sets the operand to a value near what the comparison asks about, with or without rubbish in the
// bits that are not looked at.
void Aim(Random& random, const Expr& comparison, abi::Call& call) {
  std::uint64_t value = comparison.constant;
  if (comparison.kind == Expr::Kind::kIn) {
    const Range& range = comparison.ranges[random() % comparison.ranges.size()];
    value = OneIn(random, 2) ? range.low : range.high;
  }
  if (OneIn(random, 3)) value += random() % 3 - 1;
  if (comparison.mask != UINT64_MAX && OneIn(random, 2)) value |= random() & ~comparison.mask;
  if (OneIn(random, 6)) value ^= std::uint64_t{1} << random() % 64;
  const Operand& operand = comparison.operand;
  if (operand.bits < 64 && OneIn(random, 2)) {
    const std::uint64_t inside = UINT64_MAX >> (64 - operand.bits);
    value = (value & inside) | (EdgeNumber(random) << 32 & ~inside);
  }
  if (operand.field == Operand::Field::kInstructionPointer) {
    call.ip = value;
  } else if (operand.high_slot) {
    call.args[operand.slot] = value & UINT32_MAX;
    call.args[*operand.high_slot] = value >> 32;
  } else {
    call.args[operand.slot] = value;
  }
}

}  // namespace

RandomPolicyShape AnyPolicy() {
  RandomPolicyShape shape;
  shape.arch_sets = {
      {ArchId::kX86_64},
      {ArchId::kX86_64, ArchId::kI386},
      {ArchId::kX86_64, ArchId::kI386, ArchId::kX32},
      {ArchId::kX32},
      {ArchId::kI386},
      {ArchId::kAarch64, ArchId::kArm},
      {ArchId::kPpc64, ArchId::kPpc},
      {ArchId::kS390x, ArchId::kS390},
      {ArchId::kMips64, ArchId::kMips, ArchId::kMips64n32},
      {ArchId::kMipsel},
      {ArchId::kRiscv64},
  };
  shape.actions = {
      {Verb::kAllow, 0},    {Verb::kAllow, 0},       {Verb::kErrno, 0},      {Verb::kErrno, 1},
      {Verb::kErrno, 4095}, {Verb::kKillProcess, 0}, {Verb::kKillThread, 0}, {Verb::kTrap, 0},
      {Verb::kTrap, 65535}, {Verb::kTrace, 1},       {Verb::kTrace, 4096},   {Verb::kLog, 0},
      {Verb::kNotify, 0},   {Verb::kReturn, 7},      {Verb::kAsk, 0},
  };
  return shape;
}

TypedPolicy RandomTypedPolicy(Random& random, const RandomPolicyShape& shape) {
  return Generator(random, shape).Policy();
}

abi::Call RandomCall(Random& random, const TypedPolicy& policy) {
  static const std::vector<std::uint32_t> kNumberEdges = {
      0, 1, 0x3fffffff, 0x40000000, 0x40000001, 0x7fffffff, 0x80000000, 0xbfffffff, 0xffffffff};
  abi::Call call;
  for (std::uint64_t& arg : call.args) arg = EdgeNumber(random);
  call.ip = EdgeNumber(random);
  const bool foreign = OneIn(random, 12) || policy.arches.empty();
  if (foreign) {
    const std::span<const abi::Arch> arches = abi::AllArches();
    call.arch = OneIn(random, 4) ? static_cast<std::uint32_t>(random())
                                 : arches[random() % arches.size()].audit_arch;
    call.nr = static_cast<std::int32_t>(random() % 500);
    return call;
  }
  const ArchPolicy& rules = Pick(random, policy.arches);
  call.arch = abi::ArchOf(rules.arch).audit_arch;
  if (OneIn(random, 6) || rules.rules.empty()) {
    const std::span<const abi::Syscall> table = abi::SyscallsOf(rules.arch);
    call.nr = table[random() % table.size()].nr + static_cast<std::int32_t>(random() % 3) - 1;
    if (OneIn(random, 2)) call.nr = static_cast<std::int32_t>(Pick(random, kNumberEdges));
    return call;
  }
  const Rule& rule = Pick(random, rules.rules);
  call.nr = rule.nr;
  if (OneIn(random, 10)) call.nr += OneIn(random, 2) ? 1 : -1;
  std::vector<const Expr*> comparisons;
  for (const ClauseList& list : rule.lists) {
    for (const Clause& clause : list.clauses) CollectComparisons(clause.predicate, comparisons);
  }
  std::ranges::shuffle(comparisons, random);
  for (const Expr* comparison : comparisons) Aim(random, *comparison, call);
  return call;
}

}  // namespace callgate::testing
