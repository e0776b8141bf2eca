#include "analyse/compare.h"

#include <algorithm>
#include <utility>

#include "abi/action.h"
#include "base/check.h"
#include "bpf/interpret.h"

namespace callgate::analyse {
namespace {

constexpr std::uint8_t kUndecidedKind = 4;

// The lowest wins.
std::int32_t RankOf(std::uint32_t ret_value) {
  const abi::Action action = abi::ActionFromValue(ret_value).value_or(abi::kKillProcess);
  return static_cast<std::int32_t>(action.kind);
}

std::uint8_t KindOf(std::uint32_t a_value, std::uint32_t b_value) {
  if (a_value == b_value) return 0;
  const std::int32_t a_rank = RankOf(a_value);
  const std::int32_t b_rank = RankOf(b_value);
  const DifferenceKind kind = a_rank < b_rank   ? DifferenceKind::kLooser
                              : a_rank > b_rank ? DifferenceKind::kTighter
                                                : DifferenceKind::kOther;
  return static_cast<std::uint8_t>(kind);
}

void Weaken(Answer& answer, Answer by) {
  if (answer != Answer::kFails) answer = by;
}

// A difference found by reasoning that the programs do not show would be a fault of the reasoning.
void Replay(const Comparison& comparison, bpf::ProgramView a, bpf::ProgramView b) {
  for (const Difference& difference : comparison.differences) {
    CG_CHECK(bpf::Interpret(a, difference.witness) == difference.a_value);
    CG_CHECK(bpf::Interpret(b, difference.witness) == difference.b_value);
  }
}

}  // namespace

std::uint32_t EffectOf(std::uint32_t ret_value) {
  abi::Action action = abi::ActionFromValue(ret_value).value_or(abi::kKillProcess);
  constexpr std::uint16_t kMaxErrno = 4095;  // MAX_ERRNO, linux/err.h
  switch (action.kind) {
    case abi::ActionKind::kErrno:
      action.data = std::min(action.data, kMaxErrno);
      break;
    case abi::ActionKind::kTrap:
    case abi::ActionKind::kTrace:
      break;
    case abi::ActionKind::kKillProcess:
    case abi::ActionKind::kKillThread:
    case abi::ActionKind::kUserNotif:
    case abi::ActionKind::kLog:
    case abi::ActionKind::kAllow:
      action.data = 0;
      break;
  }
  return action.value();
}

Comparison Compare(const graph::Pool& pool, const Lifted& a, const Lifted& b, Alike alike,
                   const ProductLimits& limits) {
  const bool all_decided = a.undecided.empty() && b.undecided.empty();
  auto classify = [&](std::uint32_t a_value, std::uint32_t b_value) {
    if (a.IsUndecided(a_value) || b.IsUndecided(b_value)) return kUndecidedKind;
    if (alike == Alike::kEffect) return KindOf(EffectOf(a_value), EffectOf(b_value));
    return KindOf(a_value, b_value);
  };
  Comparison result;
  result.product = Multiply(pool, a.root, b.root, classify, all_decided, limits);
  auto leave_open = [&](std::string why) {
    for (Answer* answer : {&result.equal, &result.a_within_b, &result.b_within_a}) {
      Weaken(*answer, Answer::kUndecided);
    }
    if (result.undecided.empty()) result.undecided = std::move(why);
  };
  for (const Meeting& meeting : result.product.meetings) {
    if (meeting.kind == kUndecidedKind) {
      leave_open(a.IsUndecided(meeting.a_value) ? a.ReasonOf(meeting.a_value).reason
                                                : b.ReasonOf(meeting.b_value).reason);
      continue;
    }
    const auto kind = static_cast<DifferenceKind>(meeting.kind);
    result.equal = Answer::kFails;
    if (kind == DifferenceKind::kLooser) result.b_within_a = Answer::kFails;
    if (kind == DifferenceKind::kTighter) result.a_within_b = Answer::kFails;
    result.differences.push_back({kind, meeting.a_value, meeting.b_value,
                                  result.product.WitnessIn(meeting.region), meeting.region});
  }
  if (!result.product.is_complete) {
    leave_open("the two filters interlock in more ways than the limit on work allows");
  }
  return result;
}

Comparison ComparePrograms(bpf::ProgramView a, bpf::ProgramView b, const ProductLimits& limits) {
  graph::Pool pool;
  const Lifted a_graph = Lift(a, pool);
  const Lifted b_graph = Lift(b, pool);
  Comparison result = Compare(pool, a_graph, b_graph, Alike::kValue, limits);
  Replay(result, a, b);
  return result;
}

Comparison CompareWithSource(graph::Graph& source, bpf::ProgramView program) {
  Lifted a;
  a.root = source.root;
  const Lifted b = Lift(program, source.pool);
  return Compare(source.pool, a, b, Alike::kValue, {.max_meetings = 1});
}

}  // namespace callgate::analyse
