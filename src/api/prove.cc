// A statement about the calls of a pattern is a second graph, which says where the pattern matches;
// the product of the two graphs (analyse/product.h) then shows every action that a matching call
// can get.

#include <string>
#include <vector>

#include "abi/action.h"
#include "abi/arch.h"
#include "analyse/compare.h"
#include "analyse/product.h"
#include "api/claim.h"
#include "api/subject.h"
#include "base/check.h"
#include "callgate/analysis.h"
#include "policy/call_text.h"

namespace callgate {
namespace {

using graph::NodeId;

constexpr std::uint32_t kOutside = 0;  // values of the pattern's graph
constexpr std::uint32_t kInside = 1;

enum Meets : std::uint8_t { kDull = 0, kContradicts = 1, kDelegates = 2, kOpen = 3 };

NodeId MatchOf(const policy::CallPattern& pattern, graph::Pool& pool) {
  const NodeId outside = pool.Leaf(kOutside);
  NodeId match = pool.Leaf(kInside);
  const std::vector<graph::Predicate> tests = TestsOf(pattern);
  for (std::size_t i = tests.size(); i-- > 0;) match = pool.Test(tests[i], match, outside);
  return match;
}

Result<Proof> Prove(const Subject& subject, std::string_view text, bool expect_allowed) {
  const base::Result<policy::CallPattern> pattern = policy::ParseCall(text, abi::NativeArch());
  if (!pattern) return std::unexpected(Error{pattern.error().ToString()});
  graph::Pool pool;
  const analyse::Lifted lifted = subject.impl().LiftInto(pool);
  const NodeId match = MatchOf(*pattern, pool);
  auto classify = [&](std::uint32_t value, std::uint32_t where) -> std::uint8_t {
    if (where == kOutside) return kDull;
    if (lifted.IsUndecided(value)) return kOpen;
    const abi::Action action = abi::ActionFromValue(value).value_or(abi::kKillProcess);
    if (Delegates(action)) return kDelegates;
    return Allows(action) == expect_allowed ? kDull : kContradicts;
  };
  const analyse::Product product =
      analyse::Multiply(pool, lifted.root, match, classify, false, {.max_meetings = 1});
  Proof proof;
  proof.answer = Answer::kHolds;
  proof.statement = policy::FormatPattern(*pattern, abi::NativeArch());
  if (!product.is_complete) {
    proof.answer = Answer::kUndecided;
    proof.undecided = "the filter has more ways through it than the limit on work allows";
  }
  for (const analyse::Meeting& meeting : product.meetings) {
    if (meeting.kind != kContradicts && proof.answer == Answer::kFails) continue;
    const abi::CallWords words = product.WitnessIn(meeting.region);
    const abi::Call call = abi::CallOf(words, abi::ArchOf(pattern->arch).endian);
    if (meeting.kind == kOpen) {
      proof.answer = Answer::kUndecided;
      proof.is_delegated = false;
      proof.undecided = lifted.ReasonOf(meeting.a_value).reason;
      continue;
    }
    const std::uint32_t value = subject.impl().Run(words);
    CG_CHECK(analyse::EffectOf(value) == analyse::EffectOf(meeting.a_value));
    if (meeting.kind == kDelegates) {
      Delegate(proof, call, value);
    } else {
      Refute(proof, call, value);
    }
  }
  return proof;
}

}  // namespace

Result<Proof> ProveNever(const Subject& subject, std::string_view call) {
  return Prove(subject, call, false);
}

Result<Proof> ProveAlways(const Subject& subject, std::string_view call) {
  return Prove(subject, call, true);
}

}  // namespace callgate
