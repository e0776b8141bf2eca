// A filter written down as a formula, instruction by instruction.
//
// Jumps go forward, so one pass suffices: what an instruction finds in A, X and M[], and whether it
// is reached, follows from the ways that lead to it, all of which have been seen. Where they bring
// different values a value is chosen by the way. Nothing is simplified, no state is told apart and
// no path is followed: that is the prover's work, and what makes its answer a second opinion. All
// that this file and the lifter have in common is the opcode table, whose meanings are read here
// with terms for numbers.
//
// Rejected: one function of the whole machine state an instruction, which is shorter here and
// several times as slow there.
//
// Checked against the interpreter by random programs of all opcodes (formula_test.cc).

#include "analyse/formula.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "abi/action.h"
#include "abi/call.h"
#include "base/check.h"
#include "bpf/opcodes.h"

namespace callgate::analyse {
namespace {

using abi::ActionKind;
using bpf::Effect;
using bpf::Operand;

constexpr std::string_view kWord = "(_ BitVec 32)";

struct Term {
  std::string text;
};

std::string TextOf(const Term& term) { return term.text; }
std::string TextOf(std::uint32_t value) { return Literal(value); }

template <typename A, typename B>
Term Apply(std::string_view function, const A& a, const B& b) {
  return {fmt::format("({} {} {})", function, TextOf(a), TextOf(b))};
}

// What the opcode table's meanings do with numbers.
Term operator+(const Term& a, const Term& b) { return Apply("bvadd", a, b); }
Term operator-(const Term& a, const Term& b) { return Apply("bvsub", a, b); }
Term operator-(std::uint32_t a, const Term& b) { return Apply("bvsub", a, b); }
Term operator*(const Term& a, const Term& b) { return Apply("bvmul", a, b); }
Term operator/(const Term& a, const Term& b) { return Apply("bvudiv", a, b); }
Term operator|(const Term& a, const Term& b) { return Apply("bvor", a, b); }
Term operator&(const Term& a, const Term& b) { return Apply("bvand", a, b); }
Term operator&(const Term& a, std::uint32_t b) { return Apply("bvand", a, b); }
Term operator^(const Term& a, const Term& b) { return Apply("bvxor", a, b); }
Term operator<<(const Term& a, const Term& b) { return Apply("bvshl", a, b); }
Term operator>>(const Term& a, const Term& b) { return Apply("bvlshr", a, b); }
Term operator==(const Term& a, const Term& b) { return Apply("=", a, b); }
Term operator!=(const Term& a, std::uint32_t b) { return Apply("distinct", a, b); }
Term operator>(const Term& a, const Term& b) { return Apply("bvugt", a, b); }
Term operator>=(const Term& a, const Term& b) { return Apply("bvuge", a, b); }

std::string Meaning(bpf::Opcode opcode, const Term& a, const Term& b) {
  static_cast<void>(a);
  switch (opcode) {
#define CG_OPCODE(name, code, mnemonic, effect, operand, seccomp, emulated, meaning) \
  case bpf::Opcode::k##name:                                                         \
    return TextOf(meaning);
#include "bpf/opcodes.def"
#undef CG_OPCODE
  }
  CG_CHECK(false);
}

// Texts of M[0] … M[15], A and X.
using Machine = std::array<std::string, bpf::kMemoryCells + 2>;
constexpr std::size_t kA = bpf::kMemoryCells;
constexpr std::size_t kX = bpf::kMemoryCells + 1;

// How an instruction is come to, and with what.
struct Way {
  std::string condition;
  Machine machine;
};

// What one of several ways decides: "(ite c1 v1 (ite c2 v2 v3))".
template <typename Ways, typename ValueOf>
std::string Chosen(const Ways& ways, ValueOf value_of) {
  std::string text;
  for (std::size_t i = 0; i + 1 < ways.size(); ++i) {
    text += fmt::format("(ite {} {} ", ways[i].condition, value_of(ways[i]));
  }
  return text + value_of(ways.back()) + std::string(ways.size() - 1, ')');
}

class Encoder {
 public:
  Encoder(bpf::ProgramView program, std::string_view name)
      : program_(program), name_(name), ways_(program.size()) {}

  std::string Run();

 private:
  struct Return {
    std::string condition;
    std::string value;
  };

  // The name of what has been defined.
  std::string Define(std::string_view part, std::string_view type, const std::string& value);
  Machine Join(std::size_t pc);
  std::string OperandText(const bpf::OpcodeInfo& info, const Machine& machine,
                          std::uint32_t k) const;
  void Step(std::size_t pc);

  bpf::ProgramView program_;
  std::string_view name_;
  std::vector<std::vector<Way>> ways_;  // to each instruction
  std::vector<Return> returns_;
  std::string text_;
};

std::string Encoder::Define(std::string_view part, std::string_view type,
                            const std::string& value) {
  std::string name = fmt::format("{}.{}", name_, part);
  text_ += fmt::format("(define-fun {} () {} {})\n", name, type, value);
  return name;
}

Machine Encoder::Join(std::size_t pc) {
  const std::vector<Way>& ways = ways_[pc];
  Machine joined;
  for (std::size_t i = 0; i < joined.size(); ++i) {
    const std::string& first = ways.front().machine[i];
    const bool is_one =
        std::ranges::all_of(ways, [&](const Way& way) { return way.machine[i] == first; });
    joined[i] = is_one ? first
                       : Define(fmt::format("{}.in{}", pc, i), kWord,
                                Chosen(ways, [&](const Way& way) { return way.machine[i]; }));
  }
  return joined;
}

std::string Encoder::OperandText(const bpf::OpcodeInfo& info, const Machine& machine,
                                 std::uint32_t k) const {
  switch (info.operand) {
    case Operand::kNone:
    case Operand::kConstant:
    case Operand::kTarget:
      return Literal(k);
    case Operand::kIndex:
    case Operand::kImplicitX:
      return machine[kX];
    case Operand::kAccumulator:
    case Operand::kImplicitA:
      return machine[kA];
    case Operand::kWord:
      return fmt::format("w{}", k / 4);
    case Operand::kLength:
      return Literal(bpf::kDataLength);
    case Operand::kCell:
      return machine[k];
    case Operand::kIndexed:
    case Operand::kIpHeader:
      break;
  }
  CG_CHECK(false);  // seccomp does not take them
}

void Encoder::Step(std::size_t pc) {
  const bpf::Instruction& instruction = program_[pc];
  const bpf::OpcodeInfo& info = *bpf::FindOpcode(instruction.code);
  Machine machine = Join(pc);
  std::vector<std::string> conditions;
  for (const Way& way : ways_[pc]) conditions.push_back(way.condition);
  ways_[pc] = {};
  const std::string reached =
      Define(fmt::format("{}", pc), "Bool",
             conditions.size() == 1 ? conditions.front()
                                    : fmt::format("(or {})", fmt::join(conditions, " ")));
  const std::string operand = OperandText(info, machine, instruction.k);
  const std::string meaning = Meaning(info.opcode, {machine[kA]}, {operand});
  std::string goes_on = reached;
  switch (info.effect) {
    case Effect::kLoadA:
      machine[kA] = meaning;
      break;
    case Effect::kLoadX:
      machine[kX] = meaning;
      break;
    case Effect::kStoreA:
      machine[instruction.k] = machine[kA];
      break;
    case Effect::kStoreX:
      machine[instruction.k] = machine[kX];
      break;
    case Effect::kAlu:
      if (info.opcode == bpf::Opcode::kDivX) {
        returns_.push_back(
            {fmt::format("(and {} (= {} {}))", reached, operand, Literal(0)), Literal(0)});
        goes_on = fmt::format("(and {} (distinct {} {}))", reached, operand, Literal(0));
      }
      machine[kA] = Define(fmt::format("{}.out", pc), kWord, meaning);
      break;
    case Effect::kJump: {
      const std::string holds = Define(fmt::format("{}.holds", pc), "Bool", meaning);
      ways_[pc + 1 + instruction.jt].push_back(
          {fmt::format("(and {} {})", reached, holds), machine});
      ways_[pc + 1 + instruction.jf].push_back(
          {fmt::format("(and {} (not {}))", reached, holds), std::move(machine)});
      return;
    }
    case Effect::kJumpAlways:
      ways_[pc + 1 + instruction.k].push_back({reached, std::move(machine)});
      return;
    case Effect::kReturn:
      returns_.push_back({reached, meaning});
      return;
  }
  ways_[pc + 1].push_back({goes_on, std::move(machine)});
}

std::string Encoder::Run() {
  Way start{"true", {}};
  start.machine.fill(Literal(0));  // no verified program reads a cell before it writes it
  ways_[0].push_back(std::move(start));
  for (std::size_t pc = 0; pc < program_.size(); ++pc) {
    if (!ways_[pc].empty()) Step(pc);  // else no way leads here
  }
  text_ += fmt::format("(define-fun {} () {} {})\n", name_, kWord,
                       Chosen(returns_, [](const Return& one) { return one.value; }));
  return std::move(text_);
}

std::string Kind(ActionKind kind) { return Literal(static_cast<std::uint32_t>(kind)); }

}  // namespace

std::string Literal(std::uint32_t value) { return fmt::format("#x{:08x}", value); }

std::string Preamble() {
  std::string text = "(set-logic QF_BV)\n";
  for (std::size_t word = 0; word < abi::CallWords{}.size(); ++word) {
    text += fmt::format("(declare-const w{} {})\n", word, kWord);
  }
  text += fmt::format("(define-fun action ((r {0})) {0} (bvand r #xffff0000))\n", kWord);
  text += fmt::format("(define-fun data ((r {0})) {0} (bvand r #x0000ffff))\n", kWord);
  text += fmt::format(
      "(define-fun effect ((r {0})) {0}\n"
      "  (ite (= (action r) {1}) (bvor {1} (ite (bvugt (data r) #x00000fff) #x00000fff (data r)))\n"
      "  (ite (or (= (action r) {2}) (= (action r) {3})) r\n"
      "  (ite (or (= (action r) {4}) (= (action r) {5}) (= (action r) {6}) (= (action r) {7}))\n"
      "    (action r) {8}))))\n",
      kWord, Kind(ActionKind::kErrno), Kind(ActionKind::kTrap), Kind(ActionKind::kTrace),
      Kind(ActionKind::kKillThread), Kind(ActionKind::kUserNotif), Kind(ActionKind::kLog),
      Kind(ActionKind::kAllow), Kind(ActionKind::kKillProcess));
  // Signed order is precedence; what the kernel does not know kills.
  text += fmt::format("(define-fun rank ((r {0})) {0} (action (effect r)))\n", kWord);
  return text;
}

std::string Definition(std::span<const bpf::ProgramView> filters, std::string_view name) {
  CG_CHECK(!filters.empty());
  if (filters.size() == 1) return Encoder(filters.front(), name).Run();
  // The newest runs first and stays where another is as strict (bpf/stack.h).
  std::string text;
  std::string strictest = Kind(ActionKind::kAllow);
  for (std::size_t i = filters.size(); i-- > 0;) {
    const std::string one = fmt::format("{}.{}", name, i);
    text += Encoder(filters[i], one).Run();
    const std::string so_far = i == 0 ? std::string(name) : fmt::format("{}.to{}", name, i);
    text += fmt::format("(define-fun {0} () {1} (ite (bvslt (action {2}) (action {3})) {2} {3}))\n",
                        so_far, kWord, one, strictest);
    strictest = so_far;
  }
  return text;
}

}  // namespace callgate::analyse
