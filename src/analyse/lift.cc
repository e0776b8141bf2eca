// From a filter back to its decision graph.
//
// Symbolic execution: registers hold functions of the call's words instead of numbers (symbolic.h),
// and a conditional jump goes both ways. A point of the execution is a place in the program with
// what A, X and the scratch cells hold there. Two ways that come to a place holding the same are
// one point, so what is shared in the program is shared in the graph and no path is walked twice;
// registers that are written before they are read again are forgotten first, or a test of another
// word further up would keep ways apart. Jumps go forward only: points are made in a list that
// ends, and the graph is built from the last instruction to the first.
//
// A register's value is a function of the call, not of the way to the point: x == 3 on the way here
// does not turn x into 3. So "ret a" is expressed where its function has few values as it stands.
//
// What cannot be expressed (two words compared with each other, a product with a thousand ups and
// downs) is no failure of the whole: both outcomes of such a jump are still built, and if they are
// the same graph, nothing was asked. If not, the place becomes an undecided leaf.
//
// Cost: one point a jump and value for what compilers of filters emit. Programs made to have many
// points run into kMaxPoints or kMaxSteps, and are undecided as a whole.
// Checked: random programs of all opcodes against the interpreter (lift_test.cc), and each compile
// of each test by the comparison with the graph it came from.

#include "analyse/lift.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <bitset>
#include <functional>
#include <numeric>
#include <string_view>
#include <unordered_map>
#include <utility>

#include "analyse/express.h"
#include "analyse/symbolic.h"
#include "base/check.h"
#include "bpf/opcodes.h"
#include "bpf/text.h"

namespace callgate::analyse {
namespace {

using bpf::Effect;
using bpf::Instruction;
using bpf::OpcodeInfo;
using bpf::Operand;
using graph::NodeId;

constexpr std::size_t kMaxPoints = 1U << 16;
constexpr std::size_t kMaxSteps = 1U << 22;
// "ret a" with more values than these is not a decision any more.
constexpr std::size_t kMaxReturnValues = 256;

// Registers by number: A, X, then the cells.
constexpr std::size_t kA = 0;
constexpr std::size_t kX = 1;
constexpr std::size_t kFirstCell = 2;
constexpr std::size_t kRegisterCount = kFirstCell + bpf::kMemoryCells;
using RegisterSet = std::bitset<kRegisterCount>;

struct Point {
  std::size_t pc = 0;
  std::array<ValueId, kRegisterCount> registers{};

  bool operator==(const Point&) const = default;
};

struct PointHash {
  std::size_t operator()(const Point& point) const {
    std::uint64_t hash = point.pc;
    for (const ValueId value : point.registers) hash = (hash + value) * 0x9e3779b97f4a7c15;
    return hash ^ hash >> 32;
  }
};

using PointId = std::uint32_t;
// Where a division by zero leads.
constexpr PointId kReturnsZero = UINT32_MAX;

// What the program does at a point, after the instructions that only move values.
struct Outcome {
  enum class Kind : std::uint8_t { kReturn, kJump };
  Kind kind = Kind::kReturn;
  std::size_t pc = 0;        // of the instruction that decides
  ValueId value = 0;         // kReturn
  Condition condition = {};  // kJump: anything but constant
  PointId yes = 0;
  PointId no = 0;
};

const OpcodeInfo& InfoOf(const Instruction& instruction) {
  const OpcodeInfo* info = bpf::FindOpcode(instruction.code);
  CG_CHECK(info != nullptr && info->seccomp);  // not verified otherwise
  return *info;
}

// The register that an operand reads, if any.
std::size_t RegisterOf(Operand operand, std::uint32_t k) {
  switch (operand) {
    case Operand::kIndex:
    case Operand::kImplicitX:
      return kX;
    case Operand::kAccumulator:
    case Operand::kImplicitA:
      return kA;
    case Operand::kCell:
      return kFirstCell + k;
    default:
      return kRegisterCount;
  }
}

bool IsDivision(const OpcodeInfo& info) {
  return info.opcode == bpf::Opcode::kDivX || info.opcode == bpf::Opcode::kDivK;
}

// The registers that are read at or behind each instruction before they are written.
std::vector<RegisterSet> LiveRegisters(bpf::ProgramView program) {
  std::vector<RegisterSet> live(program.size());
  for (std::size_t pc = program.size(); pc-- > 0;) {
    const Instruction& instruction = program[pc];
    const OpcodeInfo& info = InfoOf(instruction);
    RegisterSet& here = live[pc];
    switch (info.effect) {
      case Effect::kReturn:
        break;
      case Effect::kJumpAlways:
        here = live[pc + 1 + instruction.k];
        break;
      case Effect::kJump:
        here = live[pc + 1 + instruction.jt] | live[pc + 1 + instruction.jf];
        break;
      default:
        here = live[pc + 1];
        break;
    }
    switch (info.effect) {
      case Effect::kLoadA:
        here.reset(kA);
        break;
      case Effect::kLoadX:
        here.reset(kX);
        break;
      case Effect::kStoreA:
      case Effect::kStoreX:
        here.reset(kFirstCell + instruction.k);
        here.set(info.effect == Effect::kStoreA ? kA : kX);
        continue;  // the cell is not read
      case Effect::kAlu:
      case Effect::kJump:
        here.set(kA);
        break;
      case Effect::kJumpAlways:
      case Effect::kReturn:
        break;
    }
    if (const std::size_t read = RegisterOf(info.operand, instruction.k); read < kRegisterCount) {
      here.set(read);
    }
  }
  return live;
}

class Lifter {
 public:
  Lifter(bpf::ProgramView program, graph::Pool& pool)
      : program_(program), pool_(pool), live_(LiveRegisters(program)) {}

  Lifted Run();

 private:
  bool Execute();
  Outcome OutcomeAt(Point point);
  PointId PointAt(std::size_t pc, Point point);
  ValueId OperandOf(const OpcodeInfo& info, std::uint32_t k, const Point& point);
  void ChooseUndecidedValues();
  NodeId NodeOf(PointId id) { return id == kReturnsZero ? pool_.Leaf(0) : nodes_[id]; }
  NodeId BuildReturn(const Outcome& outcome);
  NodeId BuildJump(const Outcome& outcome);
  NodeId UndecidedLeaf(std::size_t pc, std::string_view why);

  bpf::ProgramView program_;
  graph::Pool& pool_;
  std::vector<RegisterSet> live_;
  Values values_;
  ValueId zero_ = values_.Constant(0);
  std::vector<Point> points_;
  std::unordered_map<Point, PointId, PointHash> point_ids_;
  std::vector<Outcome> outcomes_;  // by PointId
  std::vector<NodeId> nodes_;      // by PointId
  std::size_t steps_ = 0;
  Lifted lifted_;
};

PointId Lifter::PointAt(std::size_t pc, Point point) {
  point.pc = pc;
  for (std::size_t i = 0; i < kRegisterCount; ++i) {
    if (!live_[pc][i]) point.registers[i] = zero_;
  }
  const auto [entry, is_new] = point_ids_.try_emplace(point, static_cast<PointId>(points_.size()));
  if (is_new) points_.push_back(point);
  return entry->second;
}

ValueId Lifter::OperandOf(const OpcodeInfo& info, std::uint32_t k, const Point& point) {
  if (const std::size_t read = RegisterOf(info.operand, k); read < kRegisterCount) {
    return point.registers[read];
  }
  switch (info.operand) {
    case Operand::kConstant:
      return values_.Constant(k);
    case Operand::kWord:
      return values_.Word(static_cast<std::uint8_t>(k / 4));
    case Operand::kLength:
      return values_.Constant(bpf::kDataLength);
    default:
      return zero_;
  }
}

Outcome Lifter::OutcomeAt(Point point) {
  for (std::size_t pc = point.pc;; ++pc) {
    ++steps_;
    const Instruction& instruction = program_[pc];
    const OpcodeInfo& info = InfoOf(instruction);
    const ValueId operand = OperandOf(info, instruction.k, point);
    auto& registers = point.registers;
    switch (info.effect) {
      case Effect::kLoadA:
        registers[kA] = operand;
        break;
      case Effect::kLoadX:
        registers[kX] = operand;
        break;
      case Effect::kStoreA:
        registers[kFirstCell + instruction.k] = registers[kA];
        break;
      case Effect::kStoreX:
        registers[kFirstCell + instruction.k] = registers[kX];
        break;
      case Effect::kAlu: {
        const ValueId dividend = registers[kA];
        registers[kA] = values_.Apply(info.opcode, dividend, operand, pc);
        if (!IsDivision(info)) break;
        // Division by zero ends the program with 0.
        const Condition by_zero = values_.Test(bpf::Opcode::kJeqK, operand, zero_, pc);
        if (by_zero.kind == Condition::Kind::kConstant) {
          if (by_zero.truth) return {.pc = pc, .value = zero_};
          break;
        }
        Outcome outcome{.kind = Outcome::Kind::kJump, .pc = pc, .condition = by_zero};
        outcome.yes = kReturnsZero;
        outcome.no = PointAt(pc + 1, point);
        return outcome;
      }
      case Effect::kJumpAlways:
        pc += instruction.k;
        break;
      case Effect::kJump: {
        Outcome outcome{.kind = Outcome::Kind::kJump, .pc = pc};
        outcome.condition = values_.Test(info.opcode, registers[kA], operand, pc);
        if (outcome.condition.kind == Condition::Kind::kConstant) {
          pc += outcome.condition.truth ? instruction.jt : instruction.jf;
          break;
        }
        outcome.yes = PointAt(pc + 1 + instruction.jt, point);
        outcome.no = PointAt(pc + 1 + instruction.jf, point);
        return outcome;
      }
      case Effect::kReturn:
        return {.pc = pc, .value = operand};
    }
  }
}

// False: too many points.
bool Lifter::Execute() {
  PointAt(0, {});
  while (outcomes_.size() < points_.size()) {
    if (points_.size() > kMaxPoints || steps_ > kMaxSteps) return false;
    outcomes_.push_back(OutcomeAt(points_[outcomes_.size()]));
  }
  return true;
}

// Values whose upper half no "ret #k" has; there are fewer instructions than upper halves.
void Lifter::ChooseUndecidedValues() {
  std::vector<bool> used(0x10000, false);
  for (const Instruction& instruction : program_) {
    if (InfoOf(instruction).opcode == bpf::Opcode::kRetK) used[instruction.k >> 16] = true;
  }
  const auto free = std::ranges::find(used, false);
  lifted_.first_undecided = static_cast<std::uint32_t>(free - used.begin()) << 16;
}

NodeId Lifter::UndecidedLeaf(std::size_t pc, std::string_view why) {
  const auto known = std::ranges::find(lifted_.undecided, pc, &Undecided::pc);
  const auto index = static_cast<std::uint32_t>(known - lifted_.undecided.begin());
  if (known == lifted_.undecided.end()) {
    lifted_.undecided.push_back({pc, fmt::format("instruction {}, '{}': {}", pc,
                                                 bpf::InstructionText(program_[pc], pc), why)});
  }
  return pool_.Leaf(lifted_.first_undecided + index);
}

NodeId Lifter::BuildReturn(const Outcome& outcome) {
  const Value& value = values_[outcome.value];
  if (value.kind == Value::Kind::kConstant) return pool_.Leaf(value.number);
  if (value.kind == Value::Kind::kUnknown) {
    return UndecidedLeaf(value.number, "its result is too complex a function of the call");
  }
  const auto cases = values_.CasesOf(outcome.value, kMaxReturnValues);
  if (!cases) {
    return UndecidedLeaf(outcome.pc, fmt::format("returns one of more than {} values, or of a "
                                                 "choice too complex to list",
                                                 kMaxReturnValues));
  }
  NodeId node = 0;
  for (const Values::Case& one : *cases) {
    const bool stands_for_undecided = one.number >> 16 == lifted_.first_undecided >> 16;
    const NodeId leaf = stands_for_undecided
                            ? UndecidedLeaf(outcome.pc, "returns a value of no known action")
                            : pool_.Leaf(one.number);
    // The first one needs no test: it is what is left of the others.
    node = &one == &cases->front() ? leaf : Express(pool_, values_.bdd(), one.where, leaf, node);
  }
  return node;
}

NodeId Lifter::BuildJump(const Outcome& outcome) {
  const NodeId yes = NodeOf(outcome.yes);
  const NodeId no = NodeOf(outcome.no);
  const Condition& condition = outcome.condition;
  switch (condition.kind) {
    case Condition::Kind::kConstant:
      return condition.truth ? yes : no;
    case Condition::Kind::kPredicate:
      return pool_.Test(condition.predicate, yes, no);
    case Condition::Kind::kFunction:
      return Express(pool_, values_.bdd(), condition.function, yes, no);
    case Condition::Kind::kUnknown:
      if (yes == no) return yes;
      return UndecidedLeaf(condition.instruction, "too complex a function of the call");
  }
  CG_CHECK(false);
}

Lifted Lifter::Run() {
  ChooseUndecidedValues();
  if (!Execute()) {
    lifted_.root = UndecidedLeaf(0, "the program has too many ways through it");
    return std::move(lifted_);
  }
  std::vector<PointId> order(points_.size());
  std::iota(order.begin(), order.end(), 0);
  std::ranges::stable_sort(order, std::greater<>(), [&](PointId id) { return points_[id].pc; });
  nodes_.resize(points_.size());
  for (const PointId id : order) {
    const Outcome& outcome = outcomes_[id];
    nodes_[id] = outcome.kind == Outcome::Kind::kReturn ? BuildReturn(outcome) : BuildJump(outcome);
  }
  lifted_.root = nodes_[0];
  return std::move(lifted_);
}

}  // namespace

Lifted Lift(bpf::ProgramView program, graph::Pool& pool) { return Lifter(program, pool).Run(); }

}  // namespace callgate::analyse
