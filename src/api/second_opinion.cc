// What z3 is asked, and what its answer does to ours.
//
// A question is always for a call that refutes: one that B lets further than A, one that
// contradicts a claim. "There is none" proves; a call is run on the filters before anybody sees it.
// The two provers have the filters and the opcode table in common and nothing else, so a
// contradiction is never argued away: it is an error.

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <initializer_list>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "analyse/compare.h"
#include "analyse/formula.h"
#include "analyse/z3.h"
#include "api/claim.h"
#include "api/subject.h"
#include "bpf/stack.h"
#include "callgate/analysis.h"

namespace callgate {
namespace {

using analyse::Z3Answer;
using analyse::Z3Verdict;

class Prover {
 public:
  explicit Prover(std::chrono::seconds limit)
      : limit_(limit), deadline_(std::chrono::steady_clock::now() + limit) {}

  void Define(const Subject& subject, std::string_view name) {
    const std::vector<bpf::Program>& filters = subject.impl().filters;
    formulas_ +=
        analyse::Definition(std::vector<bpf::ProgramView>(filters.begin(), filters.end()), name);
  }
  Result<Z3Answer> Ask(const std::string& condition) const {
    auto answer = analyse::AskZ3(formulas_, condition, deadline_);
    if (!answer) return std::unexpected(Error{answer.error().ToString()});
    return *std::move(answer);
  }
  std::string NoAnswer() const { return fmt::format("z3 found no answer in {} s", limit_.count()); }

 private:
  std::chrono::seconds limit_;
  std::chrono::steady_clock::time_point deadline_;
  std::string formulas_ = analyse::Preamble();
};

constexpr std::string_view kAgrees = "z3 agrees";

std::string Settled(std::string_view undecided) {
  return fmt::format("settled by z3; undecided without it: {}", undecided);
}

std::unexpected<Error> Contradiction(std::string_view about) {
  return std::unexpected(Error{fmt::format(
      "z3 contradicts callgate about {}; one of the two is wrong, please report it", about)});
}

abi::Call CallOf(const abi::CallWords& words) {
  const auto nr = static_cast<std::int32_t>(words[abi::kNrWord]);
  const auto arch = abi::ArchOfCall(words[abi::kArchWord], nr);
  return abi::CallOf(words, arch ? abi::ArchOf(*arch).endian : std::endian::native);
}

// ---- Comparisons --------------------------------------------------------------------------------

// A row of its own: z3 tells one call, and nothing of those beside it. nullopt: both are alike
// there.
std::optional<Difference> DifferenceAt(const Subject& a, const Subject& b,
                                       const abi::CallWords& words) {
  const std::uint32_t a_value = a.impl().Run(words);
  const std::uint32_t b_value = b.impl().Run(words);
  if (analyse::EffectOf(a_value) == analyse::EffectOf(b_value)) return std::nullopt;
  const std::int32_t a_rank = bpf::Precedence(analyse::EffectOf(a_value));
  const std::int32_t b_rank = bpf::Precedence(analyse::EffectOf(b_value));
  const abi::Call call = CallOf(words);
  const auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  Difference difference;
  if (a_rank != b_rank) {
    difference.kind = b_rank > a_rank ? Difference::Kind::kLooser : Difference::Kind::kTighter;
  }
  difference.arch = arch ? abi::ArchOf(*arch).name : "other";
  difference.call = syscall != nullptr ? std::string(syscall->name) : "unnamed numbers";
  difference.every_argument = false;
  difference.a_action = abi::RetValueToString(a_value);
  difference.b_action = abi::RetValueToString(b_value);
  difference.witness = {call.nr, call.arch, call.ip, {}};
  std::ranges::copy(call.args, std::begin(difference.witness.args));
  difference.witness_text = policy::FormatWitness(call, abi::NativeArch());
  return difference;
}

// The three answers of a comparison, by z3.
struct Opinion {
  Answer equal = Answer::kHolds;
  Answer a_within_b = Answer::kHolds;
  Answer b_within_a = Answer::kHolds;
  std::vector<Difference> differences;  // one of each kind there is
};

Result<Opinion> OpinionOf(const Subject& a, const Subject& b, std::chrono::seconds limit) {
  Prover prover(limit);
  prover.Define(a, "a");
  prover.Define(b, "b");
  Opinion opinion;
  struct Question {
    Difference::Kind kind;
    Answer* refuted;
    std::string_view refutation;
  };
  const Question questions[] = {
      {Difference::Kind::kLooser, &opinion.b_within_a, "(bvsgt (rank b) (rank a))"},
      {Difference::Kind::kTighter, &opinion.a_within_b, "(bvsgt (rank a) (rank b))"},
      {Difference::Kind::kOther, &opinion.equal,
       "(and (= (rank a) (rank b)) (distinct (effect a) (effect b)))"},
  };
  for (const Question& question : questions) {
    const auto answer = prover.Ask(std::string(question.refutation));
    if (!answer) return std::unexpected(answer.error());
    if (answer->verdict == Z3Verdict::kNoCall) continue;
    const bool is_call = answer->verdict == Z3Verdict::kCall;
    *question.refuted = is_call ? Answer::kFails : Answer::kUndecided;
    if (is_call) opinion.equal = Answer::kFails;
    if (opinion.equal == Answer::kHolds) opinion.equal = Answer::kUndecided;
    if (!is_call) continue;
    std::optional<Difference> shown = DifferenceAt(a, b, answer->call);
    if (!shown || shown->kind != question.kind) {
      return Contradiction(policy::FormatCall(CallOf(answer->call), abi::NativeArch()));
    }
    opinion.differences.push_back(*std::move(shown));
  }
  return opinion;
}

// ---- Claims -------------------------------------------------------------------------------------

std::string IsAny(std::initializer_list<abi::ActionKind> kinds) {
  std::string text = "(or";
  for (const abi::ActionKind kind : kinds) {
    text += fmt::format(" (= (rank s) {})", analyse::Literal(static_cast<std::uint32_t>(kind)));
  }
  return text + ")";
}

std::string Matches(const policy::CallPattern& pattern) {
  std::string text = "(and";
  for (const graph::Predicate& test : TestsOf(pattern)) {
    text += fmt::format(" (= (bvand w{} {}) {})", test.word, analyse::Literal(test.mask),
                        analyse::Literal(test.constant));
  }
  return text + ")";
}

// nullopt: z3 found none in time.
Result<std::optional<Proof>> ProofOf(const Subject& subject, Claim claim,
                                     const policy::CallPattern& pattern, const Prover& prover) {
  const std::string allows = IsAny({abi::ActionKind::kAllow, abi::ActionKind::kLog});
  const std::string delegates = IsAny({abi::ActionKind::kTrace, abi::ActionKind::kUserNotif});
  const std::string refutes =
      claim == Claim::kNever ? allows : fmt::format("(not (or {} {}))", allows, delegates);
  Proof proof;
  proof.answer = Answer::kHolds;
  // A call that refutes says more than one that is left to others, so it is asked for first.
  for (const std::string& what : {refutes, delegates}) {
    const auto answer = prover.Ask(fmt::format("(and {} {})", Matches(pattern), what));
    if (!answer) return std::unexpected(answer.error());
    if (answer->verdict == Z3Verdict::kOpen) return std::nullopt;
    if (answer->verdict == Z3Verdict::kNoCall) continue;
    const abi::Call call = CallOf(answer->call);
    const std::uint32_t value = subject.impl().Run(answer->call);
    const abi::Action action = abi::ActionFromValue(value).value_or(abi::kKillProcess);
    const bool is_so = what == delegates
                           ? Delegates(action)
                           : !Delegates(action) && Allows(action) == (claim == Claim::kNever);
    if (!is_so) return Contradiction(policy::FormatCall(call, abi::NativeArch()));
    if (what == delegates) {
      Delegate(proof, call, value);
    } else {
      Refute(proof, call, value);
    }
    break;
  }
  return proof;
}

}  // namespace

Result<void> AskZ3(const Subject& a, const Subject& b, std::chrono::seconds limit,
                   Comparison& comparison) {
  auto opinion = OpinionOf(a, b, limit);
  if (!opinion) return std::unexpected(opinion.error());
  bool is_open = false;
  bool is_settled = false;
  bool is_contradicted = false;
  auto reconcile = [&](Answer& ours, Answer theirs) {
    is_open = is_open || theirs == Answer::kUndecided;
    if (theirs == Answer::kUndecided || ours == theirs) return;
    is_settled = is_settled || ours == Answer::kUndecided;
    is_contradicted = is_contradicted || ours != Answer::kUndecided;
    ours = theirs;
  };
  reconcile(comparison.equal, opinion->equal);
  reconcile(comparison.a_within_b, opinion->a_within_b);
  reconcile(comparison.b_within_a, opinion->b_within_a);
  if (is_contradicted) return Contradiction(fmt::format("{} and {}", a.name(), b.name()));
  std::vector<Difference>& all = comparison.differences;
  for (Difference& one : opinion->differences) {
    const bool is_told = std::ranges::find(all, one.kind, &Difference::kind) != all.end();
    if (!is_told) all.push_back(std::move(one));
  }
  std::ranges::stable_sort(all, {}, &Difference::kind);
  comparison.z3 = kAgrees;
  if (is_open) {
    comparison.z3 = Prover(limit).NoAnswer();
  } else if (is_settled) {
    comparison.z3 = Settled(std::exchange(comparison.undecided, ""));
  }
  return {};
}

Result<void> AskZ3(const Subject& subject, Claim claim, std::string_view call,
                   std::chrono::seconds limit, Proof& proof) {
  const base::Result<policy::CallPattern> pattern = policy::ParseCall(call, abi::NativeArch());
  if (!pattern) return std::unexpected(Error{pattern.error().ToString()});
  Prover prover(limit);
  prover.Define(subject, "s");
  auto found = ProofOf(subject, claim, *pattern, prover);
  if (!found) return std::unexpected(found.error());
  if (!*found) {
    proof.z3 = prover.NoAnswer();
    return {};
  }
  Proof& theirs = **found;
  if (theirs.answer == proof.answer && theirs.is_delegated == proof.is_delegated) {
    proof.z3 = kAgrees;
    return {};
  }
  const bool was_open = proof.answer == Answer::kUndecided;
  if (!was_open || (proof.is_delegated && theirs.answer == Answer::kHolds)) {
    return Contradiction(proof.statement);
  }
  theirs.statement = std::move(proof.statement);
  theirs.z3 = Settled(proof.undecided);
  proof = std::move(theirs);
  return {};
}

}  // namespace callgate
