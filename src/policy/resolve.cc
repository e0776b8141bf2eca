#include "policy/resolve.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <utility>
#include <variant>

#include "base/nearest.h"
#include "fmt/format.h"
#include "policy/groups.h"
#include "policy/limits.h"
#include "policy/print.h"

namespace callgate::policy {
namespace {

enum class Rank : std::uint8_t { kNone, kGroup, kName, kNameAndArch };

// Event prefixes of language.md that are not system calls.
constexpr std::array<std::string_view, 4> kReservedPrefixes{"fs", "net", "lsm", "trace"};

bool OnlyAllows(const RuleUse& use) {
  return use.rule == nullptr ||
         std::ranges::all_of(use.rule->clauses, [](const ast::Clause& clause) {
           return !clause.has_action || clause.action.name == "allow";
         });
}
bool AlwaysAllows(const RuleUse& use) { return use.rule == nullptr || use.rule->clauses.empty(); }

// Two presets may both say `clone3: else -> errno(ENOSYS)`. Names of lets are the same for both.
bool SayTheSame(const RuleUse& a, const RuleUse& b) {
  return a.rule != nullptr && b.rule != nullptr &&
         std::ranges::equal(
             a.rule->clauses, b.rule->clauses, {},
             [](const ast::Clause& clause) { return Print(clause); },
             [](const ast::Clause& clause) { return Print(clause); });
}

std::string ListArches(const std::vector<abi::ArchId>& arches) {
  std::string list;
  for (std::size_t i = 0; i < arches.size(); ++i) {
    if (i == 6) return list + ", …";
    if (i > 0) list += ", ";
    list += abi::ArchOf(arches[i]).name;
  }
  return list;
}

struct CallState {
  CallRules rules;
  Rank rank = Rank::kNone;
  // Two groups that disagree; an error unless a rule by name comes.
  std::optional<std::pair<RuleUse, RuleUse>> conflict;
};

class Resolver {
 public:
  Resolver(const LoadedPolicy& loaded, const std::vector<abi::ArchId>& arches,
           std::optional<abi::KernelVersion> as_of, base::Diagnostics& diagnostics)
      : loaded_(loaded),
        arches_(arches),
        as_of_(as_of),
        diagnostics_(diagnostics),
        groups_(diagnostics),
        states_(arches.size()) {
    for (abi::ArchId arch : arches) result_.push_back({arch, {}, {}, {}});
  }

  std::vector<ResolvedArch> Run() {
    for (std::size_t i = 0; i < loaded_.statements.size() && targets_ <= kMaxRuleTargets; ++i) {
      const LoadedStatement& entry = loaded_.statements[i];
      const auto& body = entry.statement->body;
      RuleUse use;
      use.statement = i;
      use.span = entry.statement->span;
      if (const auto* group = std::get_if<ast::Group>(&body)) {
        groups_.Define(*group);
      } else if (const auto* rule = std::get_if<ast::Rule>(&body)) {
        use.rule = rule;
        for (const ast::Event& event : rule->events) Mention(event, use, entry.from_preset);
      } else if (const auto* used = std::get_if<ast::Use>(&body)) {
        ast::Event event{
            .prefix = {}, .name = used->target, .is_group = true, .span = used->target_span};
        Mention(event, use, entry.from_preset);
      }
    }
    return Finish();
  }

 private:
  bool IsNewer(const abi::Syscall& call) const {
    return as_of_ && call.since && *call.since > *as_of_;
  }

  void Mention(const ast::Event& event, RuleUse use, bool from_preset) {
    use.event_span = event.span;
    use.via_group = event.is_group || from_preset;
    if (event.is_group) return MentionGroup(event, use);
    if (event.numbers) return MentionNumbers(event, use);
    if (!event.prefix.empty()) return MentionWithPrefix(event, use, from_preset);
    if (!abi::IsKnownSyscallName(event.name)) {
      return GroupTable::ReportUnknownCall(event, diagnostics_);
    }
    if (!from_preset) ReportMissing(event);
    for (std::size_t a = 0; a < arches_.size(); ++a) MentionCall(event, use, a, Rank::kName);
  }

  void MentionGroup(const ast::Event& event, const RuleUse& use) {
    if (!groups_.Has(event.name)) return groups_.ReportUnknown(event);
    bool is_override = use.rule != nullptr && use.rule->mode == ast::Rule::Mode::kOverride;
    bool found = false;
    for (std::size_t a = 0; a < arches_.size(); ++a) {
      for (const abi::Syscall* call : groups_.CallsOf(event.name, arches_[a])) {
        if (IsNewer(*call)) continue;
        if (is_override && !states_[a].contains(call->nr)) continue;
        found = true;
        Apply(*call, use, a, Rank::kGroup);
      }
    }
    if (!found && is_override) ReportNothingToOverride(event);
  }

  void MentionNumbers(const ast::Event& event, RuleUse use) {
    use.via_group = true;
    std::optional<abi::ArchId> wanted;
    if (!event.prefix.empty()) {
      wanted = KnownPrefix(event);
      if (!wanted) return;
    }
    bool found = false;
    for (std::size_t a = 0; a < arches_.size(); ++a) {
      if (wanted && arches_[a] != *wanted) continue;
      for (std::int64_t nr = event.numbers->low; nr <= event.numbers->high; ++nr) {
        auto number = static_cast<std::int32_t>(nr);
        if (abi::ArchOfCall(abi::ArchOf(arches_[a]).audit_arch, number) != arches_[a]) continue;
        found = true;
        Apply(CallOf(a, number), use, a, Rank::kGroup);
      }
    }
    if (found) return;
    if (wanted && std::ranges::find(arches_, *wanted) == arches_.end()) {
      return ReportNotSpokenFor(event, *wanted);
    }
    diagnostics_.Error(event.span, "no ABI of this policy has such numbers")
        .notes.push_back({"x32 has those from 0x40000000 on, x86_64 those before", {}});
  }

  // A call without a name gets one that a message can show.
  const abi::Syscall& CallOf(std::size_t a, std::int32_t nr) {
    if (const abi::Syscall* known = abi::FindSyscall(arches_[a], nr)) return *known;
    ResolvedArch& arch = result_[a];
    if (auto place = states_[a].find(nr); place != states_[a].end()) {
      return *place->second.rules.syscall;
    }
    arch.unnamed_names.push_back(fmt::format("nr({})", nr));
    arch.unnamed.push_back({arch.unnamed_names.back(), nr, {}, abi::SyscallStatus::kActive});
    return arch.unnamed.back();
  }

  // The ABI an event's prefix names; reports what is none.
  std::optional<abi::ArchId> KnownPrefix(const ast::Event& event) {
    std::optional<abi::ArchId> arch = abi::FindArch(event.prefix);
    if (arch) return arch;
    base::NearestName nearest(event.prefix);
    for (const abi::Arch& known : abi::AllArches()) nearest.Offer(known.name);
    auto& error = diagnostics_.Error(event.span, fmt::format("unknown ABI '{}'", event.prefix));
    if (auto best = nearest.Best()) {
      ast::Event meant = event;
      meant.prefix = *best;
      error.notes.push_back({fmt::format("did you mean '{}'?", Print(meant)), {}});
    }
    return std::nullopt;
  }

  void ReportNotSpokenFor(const ast::Event& event, abi::ArchId arch) {
    diagnostics_.Error(event.span, fmt::format("this policy does not speak for {}", event.prefix))
        .notes.push_back(
            {fmt::format("add it: `arch: {}, {}`", ListArches(arches_), abi::ArchOf(arch).name),
             {}});
  }

  void MentionWithPrefix(const ast::Event& event, const RuleUse& use, bool from_preset) {
    std::string_view first = std::string_view(event.prefix).substr(0, event.prefix.find('.'));
    if (std::ranges::find(kReservedPrefixes, first) != kReservedPrefixes.end()) {
      diagnostics_
          .Error(event.span,
                 fmt::format("events beyond system calls are not enforced yet: {}", Print(event)))
          .notes.push_back({"a policy of this version speaks about system calls only", {}});
      return;
    }
    std::optional<abi::ArchId> arch = KnownPrefix(event);
    if (!arch) return;
    if (!abi::IsKnownSyscallName(event.name)) {
      return GroupTable::ReportUnknownCall(event, diagnostics_);
    }
    auto place = std::ranges::find(arches_, *arch);
    if (place == arches_.end()) {
      if (!from_preset) ReportNotSpokenFor(event, *arch);
      return;
    }
    if (!from_preset && abi::FindSyscall(*arch, event.name) == nullptr) {
      diagnostics_
          .Error(event.span,
                 fmt::format("{} does not exist on {}", event.name, abi::ArchOf(*arch).name))
          .notes.push_back({ExistsOn(event.name), {}});
      return;
    }
    MentionCall(event, use, static_cast<std::size_t>(place - arches_.begin()), Rank::kNameAndArch);
  }

  static std::string ExistsOn(std::string_view name) {
    return fmt::format("it exists on {}", ListArches(abi::ArchesWith(name)));
  }

  // A rule by name must exist on every ABI of the policy.
  void ReportMissing(const ast::Event& event) {
    std::vector<abi::ArchId> missing, present;
    for (abi::ArchId arch : arches_) {
      (abi::FindSyscall(arch, event.name) == nullptr ? missing : present).push_back(arch);
    }
    if (missing.empty()) return;
    auto& error = diagnostics_.Error(
        event.span, fmt::format("{} does not exist on {}", event.name, ListArches(missing)));
    if (present.empty()) {
      error.notes.push_back({ExistsOn(event.name), {}});
    } else {
      error.notes.push_back(
          {fmt::format("write {}.{}", abi::ArchOf(present.front()).name, event.name), {}});
    }
  }

  void MentionCall(const ast::Event& event, const RuleUse& use, std::size_t a, Rank rank) {
    const abi::Syscall* call = abi::FindSyscall(arches_[a], event.name);
    if (call == nullptr) return;
    if (use.via_group) {
      if (!IsNewer(*call)) Apply(*call, use, a, Rank::kGroup);
      return;
    }
    if (IsNewer(*call)) {
      WarnOnce(event.span,
               fmt::format("{} exists since Linux {}, after the kernel this policy has in mind "
                           "(as_of: linux {})",
                           event.name, abi::ToString(*call->since), abi::ToString(*as_of_)),
               "it is ruled as written all the same");
    }
    if (call->status == abi::SyscallStatus::kUnimplemented) {
      WarnOnce(event.span, fmt::format("no kernel implements {}", event.name),
               "its number is reserved and always fails with ENOSYS");
    }
    Apply(*abi::FindSyscall(arches_[a], call->nr), use, a, rank);
  }

  void WarnOnce(base::Span span, std::string message, std::string note) {
    if (!reported_.emplace(span.file, span.begin).second) return;
    diagnostics_.Warning(span, std::move(message)).notes.push_back({std::move(note), {}});
  }

  void Apply(const abi::Syscall& call, const RuleUse& use, std::size_t a, Rank rank) {
    if (++targets_ > kMaxRuleTargets) {
      if (targets_ == kMaxRuleTargets + 1) {
        diagnostics_.Error(use.span,
                           fmt::format("the rules of this policy name more than {} calls in all",
                                       kMaxRuleTargets));
      }
      return;
    }
    CallState& state = states_[a][call.nr];
    state.rules.syscall = &call;
    state.rules.newer_than_as_of = IsNewer(call);
    ast::Rule::Mode mode = use.rule == nullptr ? ast::Rule::Mode::kPlain : use.rule->mode;
    switch (mode) {
      case ast::Rule::Mode::kRestrict:
        state.rules.restricts.push_back(use);
        return;
      case ast::Rule::Mode::kOverride:
        if (state.rank == Rank::kNone && state.rules.restricts.empty()) {
          ReportNothingToOverride({.prefix = {},
                                   .name = std::string(call.name),
                                   .is_group = false,
                                   .span = use.event_span});
        }
        state.rules.base = {use};
        state.rules.restricts.clear();
        state.conflict.reset();
        // Even by group, what the author overrides is said on purpose: later groups do not undo it.
        state.rank = std::max({state.rank, rank, Rank::kName});
        return;
      case ast::Rule::Mode::kPlain:
        return ApplyPlain(state, use, rank, call.name);
    }
  }

  void ApplyPlain(CallState& state, const RuleUse& use, Rank rank, std::string_view name) {
    if (rank < state.rank) return;
    if (rank > state.rank) {
      state.rank = rank;
      state.rules.base = {use};
      state.conflict.reset();
      return;
    }
    RuleUse& last = state.rules.base.back();
    if (rank != Rank::kGroup) {
      if (!reported_.emplace(use.event_span.file, use.event_span.begin).second) return;
      auto& error = diagnostics_.Error(use.event_span, fmt::format("a second rule for {}", name));
      error.notes.push_back({"the first is here", last.event_span});
      error.notes.push_back({fmt::format("`override {0}: …` replaces it, `restrict {0}: …` narrows "
                                         "it",
                                         name),
                             {}});
      return;
    }
    if (last.rule == use.rule && last.statement == use.statement) return;
    if (SayTheSame(last, use)) return;
    if (!OnlyAllows(last) || !OnlyAllows(use)) {
      if (!state.conflict) state.conflict = {last, use};
      return;
    }
    // Clauses add up; behind one that allows everything there is nothing to add.
    if (AlwaysAllows(last)) return;
    if (AlwaysAllows(use)) state.rules.base.clear();
    state.rules.base.push_back(use);
  }

  void ReportNothingToOverride(const ast::Event& event) {
    if (!reported_.emplace(event.span.file, event.span.begin).second) return;
    diagnostics_.Error(event.span, fmt::format("there is no rule for {} to override", event.name))
        .notes.push_back({"`override` stands below what it replaces", {}});
  }

  std::vector<ResolvedArch> Finish() {
    for (std::size_t a = 0; a < arches_.size(); ++a) {
      for (auto& [nr, state] : states_[a]) {
        if (state.conflict) ReportConflict(state);
        result_[a].calls.push_back(std::move(state.rules));
      }
    }
    return std::move(result_);
  }

  void ReportConflict(const CallState& state) {
    const auto& [first, second] = *state.conflict;
    if (!reported_.emplace(second.event_span.file, second.event_span.begin).second) return;
    auto& error = diagnostics_.Error(
        second.event_span,
        fmt::format("two groups rule {} differently", state.rules.syscall->name));
    error.notes.push_back({"the other is here", first.event_span});
    error.notes.push_back(
        {fmt::format("give {} a rule of its own, or write `override` or `restrict` "
                     "before the second",
                     state.rules.syscall->name),
         {}});
  }

  const LoadedPolicy& loaded_;
  const std::vector<abi::ArchId>& arches_;
  std::optional<abi::KernelVersion> as_of_;
  base::Diagnostics& diagnostics_;
  GroupTable groups_;
  std::vector<std::map<std::int32_t, CallState>> states_;  // by ABI, then number
  std::set<std::pair<base::FileId, std::uint32_t>> reported_;
  std::vector<ResolvedArch> result_;  // by ABI
  std::size_t targets_ = 0;
};

}  // namespace

Lets CollectLets(const LoadedPolicy& loaded, base::Diagnostics& diagnostics) {
  Lets lets;
  for (std::size_t i = 0; i < loaded.statements.size(); ++i) {
    const auto* let = std::get_if<ast::Let>(&loaded.statements[i].statement->body);
    if (let == nullptr) continue;
    auto [first, is_new] = lets.emplace(let->name, LetDefinition{let, i});
    if (is_new) continue;
    diagnostics.Error(let->name_span, fmt::format("a second `let {}`", let->name))
        .notes.push_back({"the first is here", first->second.let->name_span});
  }
  return lets;
}

std::vector<ResolvedArch> Resolve(const LoadedPolicy& loaded,
                                  const std::vector<abi::ArchId>& arches,
                                  std::optional<abi::KernelVersion> as_of,
                                  base::Diagnostics& diagnostics) {
  return Resolver(loaded, arches, as_of, diagnostics).Run();
}

}  // namespace callgate::policy
