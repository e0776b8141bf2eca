#include "analyse/decompile.h"

#include <string>
#include <utility>

#include "api/subject.h"
#include "callgate/analysis.h"
#include "fmt/format.h"

namespace callgate {

namespace {

// A policy, and what it compiles to.
struct Attempt {
  std::string text;
  Subject recompiled;
};

Result<Attempt> Try(graph::Pool& pool, const analyse::Lifted& lifted, analyse::ClauseOrder order) {
  base::Result<std::string> text = analyse::Decompile(pool, lifted, order);
  if (!text) return std::unexpected(Error{text.error().ToString()});
  const auto policy = Policy::FromText("<decompiled>", *text);
  if (!policy) {
    return std::unexpected(Error{"internal error: the policy is not well formed:\n" +
                                 policy.error().Render() + *text});
  }
  auto recompiled = Subject::FromPolicy(*policy);
  if (!recompiled) return std::unexpected(recompiled.error());
  return Attempt{*std::move(text), *std::move(recompiled)};
}

std::size_t SizeOf(const Subject& subject) {
  std::size_t instructions = 0;
  for (const bpf::Program& filter : subject.impl().filters) instructions += filter.size();
  return instructions;
}

// As people write it, unless that makes a longer filter and another order does not.
Result<Attempt> Best(const Subject& subject, graph::Pool& pool, const analyse::Lifted& lifted) {
  Result<Attempt> usual = Try(pool, lifted, analyse::ClauseOrder::kMostPermissiveFirst);
  if (usual && SizeOf(usual->recompiled) <= SizeOf(subject)) return usual;
  Result<Attempt> other = Try(pool, lifted, analyse::ClauseOrder::kShortestFirst);
  const bool is_better = other && (!usual || SizeOf(other->recompiled) < SizeOf(usual->recompiled));
  return is_better ? other : usual;
}

}  // namespace

Result<Decompiled> Decompile(const Subject& subject) {
  graph::Pool pool;
  const analyse::Lifted lifted = subject.impl().LiftInto(pool);
  Result<Attempt> best = Best(subject, pool, lifted);
  if (!best) return std::unexpected(best.error());
  Comparison comparison = Compare(subject, best->recompiled);
  if (comparison.equal == Answer::kUndecided) {
    return std::unexpected(
        Error{"cannot prove that the policy is the filter: " + comparison.undecided});
  }
  for (const Difference& one : comparison.differences) {
    if (one.call == "unnamed numbers") continue;
    return std::unexpected(
        Error{fmt::format("cannot say this filter as a policy: the language has no words for how "
                          "it decides {} on {}: "
                          "{} gets {}, and the nearest policy says {}",
                          one.call, one.arch, one.witness_text, one.a_action, one.b_action)});
  }
  return Decompiled{std::move(best->text), std::move(comparison.differences)};
}

}  // namespace callgate
