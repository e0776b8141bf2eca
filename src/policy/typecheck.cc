#include "policy/typecheck.h"

#include <algorithm>
#include <iterator>
#include <utility>
#include <vector>

#include "policy/actions.h"
#include "policy/multiplex.h"
#include "policy/plan.h"
#include "policy/reach.h"
#include "policy/resolve.h"
#include "policy/type_context.h"
#include "policy/type_expr.h"

namespace callgate::policy {
namespace {

// Drives the typing of one policy: for each ABI and call, the clauses that speak about it. A rule
// for several calls is typed for each, because an argument of the same name has another place,
// width or sign elsewhere; Report makes one message of what is wrong with all of them.

class Checker {
 public:
  Checker(const LoadedPolicy& loaded, base::Diagnostics& diagnostics)
      : diagnostics_(diagnostics), report_(diagnostics), loaded_(loaded) {}

  std::optional<TypedPolicy> Run(abi::ArchId native) {
    std::vector<abi::ArchId> arches = ReadSettings(loaded_, native, typed_, report_);
    lets_ = CollectLets(loaded_, diagnostics_);
    std::vector<ResolvedArch> resolved = Resolve(loaded_, arches, typed_.as_of, diagnostics_);
    for (const ResolvedArch& arch : resolved) {
      ArchPolicy rules{arch.arch, {}};
      for (const CallRules& call : arch.calls) {
        if (budget_.used_up()) break;
        rules.rules.push_back(TypeCall(call, arch.arch, typed_.arches.empty()));
      }
      typed_.arches.push_back(std::move(rules));
    }
    if (!diagnostics_.HasErrors()) {
      report_.Enter("", false);
      CheckBypasses(typed_, report_);
    }
    report_.Flush();
    diagnostics_.SortByPlace();
    if (diagnostics_.HasErrors()) return std::nullopt;
    CoverMultiplexers(typed_);
    return std::move(typed_);
  }

 private:
  Rule TypeCall(const CallRules& call, abi::ArchId arch, bool first_arch) {
    place_ = first_arch ? "" : fmt::format("on {}", abi::ArchOf(arch).name);
    Rule rule{std::string(call.syscall->name), call.syscall->nr, {}};
    rule.lists.push_back(BaseList(call, arch));
    for (const RuleUse& use : call.restricts) {
      ClauseList list{{}, use.span};
      TypeUse(use, *call.syscall, arch, list.clauses);
      rule.lists.push_back(std::move(list));
    }
    rule.by_group =
        std::ranges::all_of(call.base, IsByGroup) && std::ranges::all_of(call.restricts, IsByGroup);
    CheckPlan(typed_, arch, rule, report_);
    return rule;
  }

  // `override` is said on purpose, even of a group.
  static bool IsByGroup(const RuleUse& use) {
    return use.via_group && (use.rule == nullptr || use.rule->mode != ast::Rule::Mode::kOverride);
  }

  ClauseList BaseList(const CallRules& call, abi::ArchId arch) {
    ClauseList list;
    if (!call.base.empty()) {
      list.span = call.base.front().span;
      for (const RuleUse& use : call.base) TypeUse(use, *call.syscall, arch, list.clauses);
      return list;
    }
    // Only `restrict` spoke of it: what it must agree with is what an unnamed call gets.
    list.span = typed_.default_span;
    if (call.newer_than_as_of) {
      list.span = typed_.unknown_span;
      list.clauses.push_back({Always(list.span), typed_.unknown_action, list.span});
    }
    return list;
  }

  static Expr Always(base::Span span) {
    Expr expr;
    expr.truth = true;
    expr.span = span;
    return expr;
  }

  void TypeUse(const RuleUse& use, const abi::Syscall& call, abi::ArchId arch,
               std::vector<Clause>& clauses) {
    if (use.rule == nullptr || use.rule->clauses.empty()) {
      clauses.push_back({Always(use.event_span), PolicyAction{Verb::kAllow, 0}, use.event_span});
      return;
    }
    report_.Enter(place_, use.via_group || use.rule->events.size() > 1);
    TypeContext context{.arch = arch,
                        .call = call.name,
                        .signature = abi::SignatureOf(arch, call.name),
                        .lets = lets_,
                        .statement = use.statement,
                        .report = report_,
                        .budget = budget_};
    std::vector<Clause> typed;
    bool ok = true;
    for (const ast::Clause& clause : use.rule->clauses) {
      std::optional<Expr> predicate =
          clause.is_else ? Always(clause.span) : TypeExpr(context, clause.predicate);
      std::optional<PolicyAction> action = PolicyAction{Verb::kAllow, 0};
      if (clause.has_action) action = TypeAction(clause.action, arch, report_);
      if (predicate && action) {
        typed.push_back({std::move(*predicate), *action, clause.span});
      } else {
        ok = false;
      }
      if (budget_.used_up()) return;
    }
    if (ok) CheckReach(typed, report_);
    std::ranges::move(typed, std::back_inserter(clauses));
  }

  base::Diagnostics& diagnostics_;
  Report report_;
  const LoadedPolicy& loaded_;
  TypeBudget budget_;
  Lets lets_;
  TypedPolicy typed_;
  std::string place_;
};

}  // namespace

std::optional<TypedPolicy> Typecheck(const LoadedPolicy& loaded, abi::ArchId native,
                                     base::Diagnostics& diagnostics) {
  return Checker(loaded, diagnostics).Run(native);
}

std::optional<TypedPolicy> ReadPolicy(const std::string& path, const FileReader& reader,
                                      abi::ArchId native, base::SourceMap& sources,
                                      base::Diagnostics& diagnostics) {
  return Typecheck(Load(path, reader, sources, diagnostics), native, diagnostics);
}

std::optional<TypedPolicy> ReadPolicyText(const std::string& name, std::string text,
                                          const FileReader& reader, abi::ArchId native,
                                          base::SourceMap& sources,
                                          base::Diagnostics& diagnostics) {
  return Typecheck(LoadText(name, std::move(text), reader, sources, diagnostics), native,
                   diagnostics);
}

}  // namespace callgate::policy
