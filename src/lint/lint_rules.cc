// CG0201, CG0202 and CG0207: what is written and never decides.
//
// Dead clauses. The policy is lowered once more with every clause's action replaced by its place in
// the list. A clause is alive if some call of some ABI gets its place as the answer, which the
// graph tells exactly, whatever the clauses before it look like. (The reader's own check,
// policy/reach.h, is quicker and knows less; it runs on every `check`.)
//
// Rules that say what the default says. The policy is typed once more without the rule; if then
// nobody speaks of its calls, it said nothing.

#include <algorithm>
#include <map>
#include <tuple>
#include <variant>

#include "fmt/format.h"
#include "lint/explicit.h"
#include "lint/subject.h"
#include "policy/lower.h"
#include "policy/typecheck.h"

namespace callgate::lint {
namespace {

namespace ast = policy::ast;

constexpr std::int64_t kNoClause = 4095;

struct SpanOrder {
  bool operator()(base::Span a, base::Span b) const {
    return std::tie(a.file, a.begin, a.end) < std::tie(b.file, b.begin, b.end);
  }
};
using Alive = std::map<base::Span, bool, SpanOrder>;

// The policy with the index-th list of each rule alone, clauses numbered.
policy::TypedPolicy Numbered(const policy::TypedPolicy& typed, std::size_t index) {
  policy::TypedPolicy numbered = typed;
  numbered.default_action = {policy::Verb::kErrno, kNoClause};
  for (policy::ArchPolicy& arch : numbered.arches) {
    std::erase_if(arch.rules, [&](const policy::Rule& rule) { return rule.lists.size() <= index; });
    for (policy::Rule& rule : arch.rules) {
      rule.lists = {rule.lists[index]};
      std::int64_t place = 0;
      for (policy::Clause& clause : rule.lists.front().clauses) {
        clause.action = {policy::Verb::kErrno, std::min(place++, kNoClause)};
      }
    }
  }
  return numbered;
}

void FindAlive(const policy::TypedPolicy& typed, std::size_t index, Alive& alive) {
  const policy::TypedPolicy numbered = Numbered(typed, index);
  graph::Graph graph = policy::Lower(numbered);
  analyse::Lifted lifted;
  lifted.root = graph.root;
  Decisions decisions(std::move(graph.pool), std::move(lifted));
  for (const policy::ArchPolicy& arch : numbered.arches) {
    for (const policy::Rule& rule : arch.rules) {
      const auto& clauses = rule.lists.front().clauses;
      const graph::NodeId body =
          decisions.BodyOf(abi::ArchOf(arch.arch).audit_arch, static_cast<std::uint32_t>(rule.nr));
      for (const policy::Clause& clause : clauses) {
        bool& lives = alive[clause.span];
        // A plain 0 says that it matches nothing.
        const policy::Expr& predicate = clause.predicate;
        lives = lives || (predicate.kind == policy::Expr::Kind::kConstant && !predicate.truth);
        if (lives) continue;
        const std::uint32_t value = policy::KernelAction(clause.action).value();
        lives = clause.action.data == kNoClause ||
                decisions
                    .FindIn(body, decisions.pool().Leaf(1),
                            [&](std::uint32_t got) { return got == value; })
                    .has_value() ||
                decisions.TakeGaveUp();
      }
    }
  }
}

void CheckDeadClauses(const Subject& subject, Findings& findings) {
  const policy::TypedPolicy& typed = *subject.text->typed;
  std::size_t lists = 0;
  for (const policy::ArchPolicy& arch : typed.arches) {
    for (const policy::Rule& rule : arch.rules) lists = std::max(lists, rule.lists.size());
  }
  Alive alive;
  for (std::size_t i = 0; i < lists; ++i) FindAlive(typed, i, alive);
  for (const auto& [span, lives] : alive) {
    const policy::LoadedStatement* entry = StatementAt(subject, span);
    // Presets and groups overlap by design.
    if (lives || entry == nullptr || entry->from_preset) continue;
    findings.AddAt(Id::kDeadClause, span, "no call comes to this clause");
  }
}

// The calls of a rule whose every verdict is the default; empty if one has another.
std::vector<abi::Call> CallsThatGetTheDefault(Subject& subject, base::Span span) {
  const policy::TypedPolicy& typed = *subject.text->typed;
  const std::uint32_t fallback = policy::KernelAction(typed.default_action).value();
  auto is_here = [&](base::Span s) {
    return s.file == span.file && s.begin >= span.begin && s.begin < span.end;
  };
  std::vector<abi::Call> calls;
  for (const policy::ArchPolicy& arch : typed.arches) {
    for (const policy::Rule& rule : arch.rules) {
      const auto& clauses = rule.lists.front().clauses;
      if (clauses.empty() || !is_here(clauses.front().span)) continue;
      const graph::Node& body = subject.decisions.pool()[subject.decisions.BodyOf(
          abi::ArchOf(arch.arch).audit_arch, static_cast<std::uint32_t>(rule.nr))];
      if (rule.lists.size() > 1 || !body.is_leaf || body.ret_value != fallback) return {};
      calls.push_back(CallOf({}, arch.arch, rule.nr));
    }
  }
  return calls;
}

// Without a rule of its own such a call follows the rules of those it stands for: who closes it
// says so of all to come.
bool IsMultiplexer(const abi::Call& call) {
  const auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  return syscall != nullptr && (syscall->name == "socketcall" || syscall->name == "ipc");
}

void CheckSameAsDefault(Subject& subject, Findings& findings) {
  const PolicyText& text = *subject.text;
  if (subject.is_fragment) return;  // the default is somebody else's
  for (const policy::LoadedStatement& entry : text.loaded->statements) {
    const auto* rule = std::get_if<ast::Rule>(&entry.statement->body);
    if (rule == nullptr || entry.from_preset) continue;
    const std::vector<abi::Call> calls = CallsThatGetTheDefault(subject, entry.statement->span);
    if (calls.empty() || std::ranges::all_of(calls, IsMultiplexer)) continue;
    policy::LoadedPolicy without;
    for (const policy::LoadedStatement& other : text.loaded->statements) {
      if (other.statement != entry.statement) without.statements.push_back(other);
    }
    base::Diagnostics unused;
    const auto typed = policy::Typecheck(without, abi::NativeArch(), unused);
    if (!typed) continue;  // another rule builds on it
    const bool all_the_same = std::ranges::all_of(calls, [&](const abi::Call& call) {
      const policy::Verdict verdict = policy::Judge(*typed, call);
      return verdict.reason == policy::Reason::kNoRule;
    });
    if (!all_the_same) continue;
    findings.AddAt(Id::kSameAsDefault, entry.statement->span,
                   fmt::format("without this rule its calls get the same: {}",
                               policy::ToString(text.typed->default_action, subject.home())));
  }
}

void CheckDeadInstructions(const Subject& subject, Findings& findings) {
  const bpf::Program& program = subject.filters.front();
  std::vector<bool> reached(program.size(), false);
  reached[0] = true;
  std::size_t dead = 0, first = 0;
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    if (!reached[pc]) {
      if (dead++ == 0) first = pc;
      continue;
    }
    const bpf::Instruction& one = program[pc];
    constexpr std::uint16_t kClass = 0x07, kJump = 0x05, kReturn = 0x06, kOperation = 0xf0;
    if ((one.code & kClass) == kReturn) continue;
    if ((one.code & kClass) != kJump) {
      reached[pc + 1] = true;
    } else if ((one.code & kOperation) == 0) {
      reached[pc + 1 + one.k] = true;
    } else {
      reached[pc + 1 + one.jt] = true;
      reached[pc + 1 + one.jf] = true;
    }
  }
  if (dead == 0) return;
  findings.AddAtInstruction(
      Id::kDeadInstruction, first,
      fmt::format("{} of {} instructions are never reached", dead, program.size()));
}

}  // namespace

void CheckRules(Subject& subject, Findings& findings) {
  if (subject.text) {
    CheckDeadClauses(subject, findings);
    CheckSameAsDefault(subject, findings);
  } else if (subject.filters.size() == 1) {
    CheckDeadInstructions(subject, findings);
  }
}

}  // namespace callgate::lint
