#include "api/answer.h"

#include <arpa/inet.h>
#include <signal.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <utility>

#include "abi/syscalls.h"
#include "fmt/format.h"
#include "policy/performed.h"
#include "policy/plan.h"

namespace callgate {

LayerVerdict JudgeLayers(const std::vector<Policy>& layers, const abi::Call& call,
                         const policy::LookFunction& look) {
  LayerVerdict winner;
  for (const Policy& layer : layers) {
    policy::Verdict own = policy::Judge(layer.impl().typed, call, look);
    // As two lists of one rule, with the newer one first.
    bool looked = own.looked || winner.verdict.looked;
    if (winner.layer == nullptr || !policy::LaterWins(own, winner.verdict)) {
      winner = {&layer.impl(), own};
    }
    winner.verdict.looked = looked;
  }
  return winner;
}

launch::Explanation Explain(const LayerVerdict& winner, const abi::Call& call) {
  Verdict described = Describe(*winner.layer, winner.verdict, call);
  launch::Explanation explanation;
  explanation.verdict = policy::KernelAction(winner.verdict.action);
  explanation.place = described.place;
  explanation.rule = described.rule;
  explanation.reason = described.reason;
  explanation.add = described.suggestion;
  explanation.group = described.suggestion_note;
  return explanation;
}

namespace {

std::string TextOf(const policy::DeepValue& value) {
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return fmt::format("{:#x}", *number);
  if (const auto* text = std::get_if<std::string>(&value)) return *text;
  if (const auto* ip = std::get_if<policy::IpAddress>(&value)) {
    std::array<char, INET6_ADDRSTRLEN> text{};
    return inet_ntop(AF_INET6, ip->data(), text.data(), text.size());
  }
  return "absent";
}

// What the policy was asked about one call, and what it said.
struct Judgement {
  LayerVerdict winner;
  std::map<std::string, std::string> inputs = {};  // with `audits`
  std::string answer = {};                         // from outside
  bool has_looked = false;
  policy::Soundness looked_at = policy::Soundness::kRegister;  // with `audits`
};
// The last answer stays in `judgement`, which must outlive the function.
supervise::DecideFunction DecideBy(const std::vector<Policy>& layers, bool audits,
                                   Judgement& judgement) {
  return [&layers, audits, &judgement](const abi::Call& call, const policy::LookFunction& look) {
    judgement.has_looked = judgement.has_looked || look;
    policy::LookFunction recorded = look;
    if (audits && look) {
      recorded = [&](const policy::DeepSubject& subject) {
        judgement.looked_at = std::max(judgement.looked_at, policy::SoundnessOf(subject.kind));
        policy::DeepValue value = look(subject);
        judgement.inputs[subject.name] = TextOf(value);
        return value;
      };
    }
    judgement.winner = JudgeLayers(layers, call, recorded);
    return judgement.winner.verdict.action;
  };
}
// As `callgate plan` calls it. Whoever is asked outside is told copies, whatever the rule looks at.
std::string_view LookOf(const Judgement& judgement, const abi::Call& call) {
  if (!judgement.has_looked) return "registers";
  auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  if (syscall != nullptr && policy::CallerMakes(policy::PerformanceOf(*arch, syscall->name))) {
    return "pinned";
  }
  const bool at_object = judgement.looked_at == policy::Soundness::kObject;
  return at_object && judgement.answer.empty() ? "object" : "copied";
}

launch::Decision DecisionOf(const Judgement& judgement, const launch::Explanation& why,
                            const abi::Call& call) {
  const policy::Verdict& verdict = judgement.winner.verdict;
  return {.looked_at = LookOf(judgement, call),
          .inputs = {judgement.inputs.begin(), judgement.inputs.end()},
          .action = policy::ToString(verdict.action, verdict.arch.value_or(abi::NativeArch())),
          .answer = judgement.answer,
          .place = why.place,
          .rule = why.rule};
}

// Nobody can change registers, so that a call they allow may go on as it is.
supervise::DecideFunction GoingOnByRegisters(supervise::DecideFunction decide) {
  return [decide = std::move(decide)](const abi::Call& call, const policy::LookFunction& look) {
    policy::PolicyAction action = decide(call, look);
    if (!look && action.verb == policy::Verb::kAllow) {
      action.verb = policy::Verb::kContinueUnchecked;
    }
    return action;
  };
}

}  // namespace

launch::AnswerFunction AnswerBy(Answering answering) {
  return [answering = std::move(answering)](const supervise::Turn& turn) -> launch::Answered {
    Judgement judgement;
    using Kind = supervise::Outcome::Kind;
    bool redraws = false;
    auto ask = [&](const supervise::Turn& asking, const supervise::Question& question) {
      const LayerVerdict& winner = judgement.winner;
      auto answer = answering.outside->Answer(asking, question, *winner.layer,
                                              Explain(winner, question.call));
      redraws = redraws || answer.redraws;
      judgement.answer = policy::ToString(
          answer.action, judgement.winner.verdict.arch.value_or(abi::NativeArch()));
      return answer;
    };
    const bool audits = answering.audits;
    supervise::DecideFunction decide = DecideBy(answering.layers, audits, judgement);
    if (answering.filter == Answering::Filter::kAnothers) {
      decide = GoingOnByRegisters(std::move(decide));
    }
    supervise::OutsideFunction outside;
    if (answering.outside != nullptr) outside = ask;
    supervise::Outcome outcome = answering.engine->Handle(turn, decide, outside);
    // Not before: a signal would interrupt the call that was asked about.
    if (redraws) (void)kill(turn.notification.tid, SIGWINCH);
    launch::Answered answered;
    launch::Explanation why;
    bool refused = outcome.kind == Kind::kRefused || outcome.kind == Kind::kKilled;
    if (refused || audits) why = Explain(judgement.winner, turn.notification.call);
    if (audits) {
      answered.decision = DecisionOf(judgement, why, turn.notification.call);
      answered.decision->is_gone = outcome.kind == Kind::kGone;
      answered.decision->errno_value = outcome.errno_value;
    }
    if (!refused) return answered;
    why.verdict =
        outcome.kind == Kind::kKilled
            ? abi::kKillProcess
            : abi::Action{abi::ActionKind::kErrno, static_cast<std::uint16_t>(outcome.errno_value)};
    if (!outcome.reason.empty()) why.reason = std::move(outcome.reason);
    answered.refused = std::move(why);
    return answered;
  };
}

std::optional<launch::RefusedLater> JudgeLater(const std::vector<Policy>& layers, bool audits,
                                               const AskEngine& ask) {
  Judgement judgement;
  supervise::Outcome outcome = ask(DecideBy(layers, audits, judgement));
  if (outcome.kind != supervise::Outcome::Kind::kKilled) return std::nullopt;
  // What could not be looked at was not asked about.
  LayerVerdict& winner = judgement.winner;
  if (winner.layer == nullptr) winner = JudgeLayers(layers, outcome.call, nullptr);
  launch::RefusedLater refused{.call = outcome.call, .why = Explain(winner, outcome.call)};
  refused.why.verdict = abi::kKillProcess;
  refused.why.kills = true;
  refused.why.reason = std::move(outcome.reason);
  if (audits) {
    judgement.has_looked = true;  // or tried to
    refused.decision = DecisionOf(judgement, refused.why, refused.call);
  }
  return refused;
}

}  // namespace callgate
