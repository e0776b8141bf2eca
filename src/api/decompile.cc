#include "analyse/decompile.h"

#include <string>
#include <utility>

#include "api/subject.h"
#include "callgate/analysis.h"
#include "fmt/format.h"

namespace callgate {

Result<Decompiled> Decompile(const Subject& subject) {
  graph::Pool pool;
  const analyse::Lifted lifted = subject.impl().LiftInto(pool);
  base::Result<std::string> text = analyse::Decompile(pool, lifted);
  if (!text) return std::unexpected(Error{text.error().ToString()});
  const auto policy = Policy::FromText("<decompiled>", *text);
  if (!policy) {
    return std::unexpected(Error{"internal error: the policy is not well formed:\n" +
                                 policy.error().Render() + *text});
  }
  const auto recompiled = Subject::FromPolicy(*policy);
  if (!recompiled) return std::unexpected(recompiled.error());
  Comparison comparison = Compare(subject, *recompiled);
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
  return Decompiled{*std::move(text), std::move(comparison.differences)};
}

}  // namespace callgate
