#include "analyse/decompile.h"

#include <optional>
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

Result<Attempt> Try(graph::Pool& pool, const analyse::Lifted& lifted, analyse::ClauseOrder order,
                    analyse::Wording wording) {
  base::Result<std::string> text = analyse::Decompile(pool, lifted, order, wording);
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

// As people write it, unless that makes a longer filter and another way does not.
Result<Attempt> Best(const Subject& subject, graph::Pool& pool, const analyse::Lifted& lifted) {
  using enum analyse::ClauseOrder;
  using enum analyse::Wording;
  constexpr std::pair<analyse::ClauseOrder, analyse::Wording> kWays[] = {
      {kMostPermissiveFirst, kLists},
      {kShortestFirst, kLists},
      {kMostPermissiveFirst, kTestByTest},
      {kShortestFirst, kTestByTest},
  };
  std::optional<Result<Attempt>> best;
  for (const auto& [order, wording] : kWays) {
    Result<Attempt> one = Try(pool, lifted, order, wording);
    const bool is_better =
        !best || (one && (!*best || SizeOf(one->recompiled) < SizeOf((*best)->recompiled)));
    if (is_better) best = std::move(one);
    if (*best && SizeOf((*best)->recompiled) <= SizeOf(subject)) break;
  }
  return *std::move(best);
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
