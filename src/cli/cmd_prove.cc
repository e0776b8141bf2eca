#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "callgate/analysis.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

// A statement as it was asked, and what came of it.
struct Outcome {
  std::string holds;  // "app.cg never allows socket(AF_VSOCK, *, *)"
  std::string fails;  // "app.cg can allow socket(AF_VSOCK, *, *)"
  Proof proof;
};

// Who else is asked.
struct Others {
  std::optional<std::chrono::seconds> z3;  // for so long
  bool kernel = false;
};

// False: the other one could not be asked, or contradicts, which has been said.
bool Agrees(const Result<void>& asked) {
  if (!asked) Complain("prove", asked.error().message);
  return asked.has_value();
}

std::optional<Outcome> AboutCall(const Subject& subject, const std::string& kind,
                                 const std::string& call, const Others& others) {
  const bool never = kind == "never";
  auto proof = never ? ProveNever(subject, call) : ProveAlways(subject, call);
  if (!proof) {
    Complain("prove", proof.error().message);
    return std::nullopt;
  }
  const Claim claim = never ? Claim::kNever : Claim::kAlways;
  if (others.z3 && !Agrees(AskZ3(subject, claim, call, *others.z3, *proof))) return std::nullopt;
  if (others.kernel && !Agrees(ReplayOnKernel(subject, *proof))) return std::nullopt;
  Outcome outcome;
  const std::string& name = subject.name();
  outcome.holds =
      fmt::format("{} {} allows {}", name, never ? "never" : "always", proof->statement);
  outcome.fails = fmt::format("{} {} {}", name, never ? "can allow" : "does NOT always allow",
                              proof->statement);
  outcome.proof = std::move(*proof);
  return outcome;
}

std::optional<Outcome> AboutOther(const Subject& subject, const std::string& kind,
                                  const std::string& path, const Others& others) {
  const auto other = LoadSubject(path);
  if (!other) return std::nullopt;
  const bool equal = kind == "equal";
  Comparison comparison = Compare(subject, *other);
  if (others.z3 && !Agrees(AskZ3(subject, *other, *others.z3, comparison))) return std::nullopt;
  if (others.kernel && !Agrees(ReplayOnKernel(subject, *other, comparison))) return std::nullopt;
  Outcome outcome;
  const char* relation = equal ? "equal to" : "a subset of";
  outcome.holds = fmt::format("{} is {} {}", subject.name(), relation, other->name());
  outcome.fails = fmt::format("{} is NOT {} {}", subject.name(), relation, other->name());
  outcome.proof.answer = equal ? comparison.equal : comparison.a_within_b;
  outcome.proof.statement = outcome.holds;
  outcome.proof.undecided = comparison.undecided;
  outcome.proof.z3 = comparison.z3;
  for (const Difference& difference : comparison.differences) {
    // What makes A no subset is a call for which B is the stricter one.
    if (!equal && difference.kind != Difference::Kind::kTighter) continue;
    outcome.proof.witness = difference.witness;
    outcome.proof.witness_text = difference.witness_text;
    outcome.proof.live = difference.live;
    outcome.proof.action =
        fmt::format("{}, by {} {}", difference.a_action, other->name(), difference.b_action);
    break;
  }
  return outcome;
}

std::string Describe(const Outcome& outcome) {
  const Proof& proof = outcome.proof;
  const std::string z3 = proof.z3.empty() ? "" : fmt::format("  {}\n", proof.z3);
  switch (proof.answer) {
    case Answer::kHolds:
      return fmt::format("{}: proved\n{}", outcome.holds, z3);
    case Answer::kFails:
      return fmt::format("{}\n  witness   {}  → {}\n{}{}", outcome.fails, proof.witness_text,
                         proof.action,
                         proof.live.empty() ? "" : fmt::format("  live      {}\n", proof.live), z3);
    case Answer::kUndecided:
      break;
  }
  const bool z3_may_know = proof.z3.empty() && !proof.is_delegated;
  return UndecidedText(outcome.holds, proof.undecided, z3_may_know) + z3;
}

}  // namespace

int RunProve(const Arguments& arguments) {
  const Verb& verb = VerbNamed("prove");
  if (arguments.operands.size() != 1) {
    return UsageError(
        verb, arguments.operands.empty() ? "no policy given" : "statements are about one policy");
  }
  std::vector<std::pair<std::string, std::string>> statements;
  for (const auto& option : arguments.options) {
    const std::string& name = option.first;
    if (name != "json" && name != "live" && name != "z3") statements.push_back(option);
  }
  if (statements.empty()) {
    return UsageError(verb, "nothing to prove; for instance --never 'ptrace'");
  }
  Others others;
  others.kernel = arguments.Has("live");
  if (const auto limit = arguments.Value("z3")) {
    others.z3 = Z3Limit("prove", *limit);
    if (!others.z3) return kBadInput;
  }
  const auto subject = LoadSubject(arguments.operands[0]);
  if (!subject) return kBadInput;
  int status = kHolds;
  std::string text;
  std::vector<Proof> proofs;
  for (const auto& [kind, value] : statements) {
    const bool about_call = kind == "never" || kind == "always";
    auto outcome = about_call ? AboutCall(*subject, kind, value, others)
                              : AboutOther(*subject, kind, value, others);
    if (!outcome) return kBadInput;
    // One statement that is wrong is a clear "no", whatever is open about the others.
    const int own = StatusOf(outcome->proof.answer);
    if (status == kHolds || own == kDoesNotHold) status = own;
    text += Describe(*outcome);
    outcome->proof.statement = outcome->holds;
    proofs.push_back(std::move(outcome->proof));
  }
  return Finish(arguments.Has("json") ? ProofsJson(proofs) : text, status);
}

}  // namespace callgate::cli
