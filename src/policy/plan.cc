// Each clause gets its soundness from what had to be looked at before it decides: its own tests,
// and those of the clauses above it. `openat: path under "/srv"; flags == 0 -> kill` has a second
// clause of registers only, but it decides only after the look at the path said no.
//
// `restrict` lists are judged together, so a look of one is a look of all.

#include "policy/plan.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <utility>

#include "abi/syscalls.h"
#include "fmt/format.h"
#include "policy/evaluate.h"

namespace callgate::policy {
namespace {

// What has to be looked at to decide it; memory and what a path names count for more than an open
// file.
Soundness LookOf(const Expr& expr) {
  Soundness look = Soundness::kRegister;
  if (expr.kind == Expr::Kind::kDeep) look = SoundnessOf(expr.deep->subject.kind);
  for (const Expr& child : expr.children) look = std::max(look, LookOf(child));
  return look;
}
Soundness LookOf(const ClauseList& list) {
  Soundness look = Soundness::kRegister;
  for (const Clause& clause : list.clauses) look = std::max(look, LookOf(clause.predicate));
  return look;
}
// Of the other lists of a rule, which are judged with each.
Soundness LookOfAll(const Rule& rule) {
  Soundness look = Soundness::kRegister;
  if (rule.lists.size() < 2) return look;
  for (const ClauseList& list : rule.lists) look = std::max(look, LookOf(list));
  return look;
}

bool IsLeftOutside(PolicyAction action) {
  return action.verb == Verb::kNotify || action.verb == Verb::kAsk;
}

bool IsAlways(const Expr& expr) { return expr.kind == Expr::Kind::kConstant && expr.truth; }

// `notify` alone is what a filter can say, to whoever listens.
bool IsSupervised(PolicyAction action) {
  return action.verb == Verb::kReturn || action.verb == Verb::kContinueUnchecked ||
         action.verb == Verb::kAsSupervisor || action.verb == Verb::kAsk;
}

// The first test behind a register, for messages.
const DeepSubject* FirstSubject(const Expr& expr) {
  if (expr.kind == Expr::Kind::kDeep) return &expr.deep->subject;
  for (const Expr& child : expr.children) {
    if (const DeepSubject* found = FirstSubject(child)) return found;
  }
  return nullptr;
}
const DeepSubject* FirstSubject(const Rule& rule) {
  for (const ClauseList& list : rule.lists) {
    for (const Clause& clause : list.clauses) {
      if (const DeepSubject* found = FirstSubject(clause.predicate)) return found;
    }
  }
  return nullptr;
}

// What to do about calls that nobody can make for the caller, and whose outcome nobody can undo.
std::vector<base::Note> AdviceFor(std::string_view call) {
  if (call == "clone3") {
    return {{"only the caller can make it, and what it has made cannot be taken back", {}},
            {"answer it with errno(ENOSYS): C libraries then use clone, whose flags are in a "
             "register",
             {}}};
  }
  return {};
}

// False: reported.
bool CheckSubjects(const Expr& expr, abi::ArchId arch, std::string_view call, Report& report) {
  bool ok = true;
  for (const Expr& child : expr.children) ok &= CheckSubjects(child, arch, call, report);
  if (expr.kind != Expr::Kind::kDeep) return ok;
  const DeepSubject& subject = expr.deep->subject;
  if (arch != abi::ArchId::kX86_64) {
    report.Error(expr.span,
                 fmt::format("'{}' needs the supervisor, which does not look at calls of {}",
                             subject.name, abi::ArchOf(arch).name),
                 {{fmt::format("rule them by registers, or refuse them: `{}.{}: else -> "
                               "errno(ENOSYS)`",
                               abi::ArchOf(arch).name, call),
                   {}},
                  {fmt::format("and write this rule for one ABI: `x86_64.{}: …`", call), {}}});
    return false;
  }
  switch (subject.kind) {
    case DeepSubject::Kind::kPath:
    case DeepSubject::Kind::kUnixPath:
      if (PerformanceOf(arch, call) != Performance::kNone) return ok;
      report.Error(expr.span,
                   fmt::format("'{}' needs the supervisor, which does not resolve the paths of {}",
                               subject.name, call));
      return false;
    case DeepSubject::Kind::kDescriptor:
    case DeepSubject::Kind::kFileType:
    case DeepSubject::Kind::kString:
    case DeepSubject::Kind::kField:
    case DeepSubject::Kind::kFamily:
    case DeepSubject::Kind::kPort:
    case DeepSubject::Kind::kIp:
    case DeepSubject::Kind::kAbstract:
    case DeepSubject::Kind::kElement:
    case DeepSubject::Kind::kCount:
    case DeepSubject::Kind::kVariable:
      return ok;
  }
  return false;
}

// Opening files with more rights than the caller's is left out on purpose: what is read or written
// through the descriptor later is under no policy.
void CheckAsSupervisor(base::Span span, abi::ArchId arch, const Rule& rule, Report& report) {
  Performance how = PerformanceOf(arch, rule.syscall);
  if (how == Performance::kAtParent || how == Performance::kOnFile) return;
  report.Error(span, fmt::format("{} cannot be made with the supervisor's rights", rule.syscall),
               {{"as_supervisor is for calls that make, change or remove what a path names", {}}});
}

void CheckAction(PolicyAction action, base::Span span, abi::ArchId arch, const Rule& rule,
                 Report& report) {
  const DeepSubject* subject = FirstSubject(rule);
  std::string looked = subject == nullptr ? "" : subject->name;
  switch (action.verb) {
    case Verb::kErrno:
    case Verb::kKillProcess:
    case Verb::kReturn:
    case Verb::kContinueUnchecked:
    case Verb::kLook:
      return;
    case Verb::kAllow:
    case Verb::kNotify:
    case Verb::kAsk: {
      if (PerformanceOf(arch, rule.syscall) != Performance::kNone) return;
      std::vector<base::Note> notes{
          {"if the kernel went on with the call it would read the memory again, and another thread "
           "can have changed it",
           {}},
          {"refuse it (errno(NAME), kill), answer it (return(N)), or take the race "
           "(continue_unchecked)",
           {}}};
      std::ranges::move(AdviceFor(rule.syscall), std::back_inserter(notes));
      report.Error(
          span,
          fmt::format("{} {} allowed here after a look at '{}', and needs the supervisor, which "
                      "does not perform {}",
                      rule.syscall, action.verb == Verb::kAllow ? "is" : "can be", looked,
                      rule.syscall),
          std::move(notes));
      return;
    }
    case Verb::kAsSupervisor:
      return CheckAsSupervisor(span, arch, rule, report);
    case Verb::kKillThread:
    case Verb::kTrap:
    case Verb::kTrace:
    case Verb::kLog:
      report.Error(
          span,
          fmt::format("'{}' cannot be given to {} after a look at '{}'", ToString(action, arch),
                      rule.syscall, looked),
          {{"the supervisor can allow, fail a call with an errno, return(N), kill, notify, ask, or "
            "continue_unchecked",
            {}}});
      return;
  }
}

}  // namespace

Soundness SoundnessOf(DeepSubject::Kind kind) {
  const bool is_open =
      kind == DeepSubject::Kind::kDescriptor || kind == DeepSubject::Kind::kFileType;
  return is_open ? Soundness::kObject : Soundness::kCopied;
}

bool PlannedRule::NeedsLook() const {
  return std::ranges::any_of(clauses, [](const PlannedClause& clause) {
    return clause.soundness != Soundness::kRegister;
  });
}

std::vector<PlannedRule> PlanPolicy(const TypedPolicy& policy) {
  std::vector<PlannedRule> plan;
  for (const ArchPolicy& arch : policy.arches) {
    for (const Rule& rule : arch.rules) {
      PlannedRule planned{.arch = arch.arch, .rule = &rule, .clauses = {}};
      for (const ClauseList& list : rule.lists) {
        Soundness look = LookOfAll(rule);
        bool open = true;
        auto add = [&](const Clause* clause, PolicyAction action) {
          bool looks = look != Soundness::kRegister;
          bool lends = action.verb == Verb::kAsSupervisor;
          Performance how = PerformanceOf(arch.arch, rule.syscall);
          // Whoever is asked is told the copies, where there are any.
          bool tells = IsLeftOutside(action) && how != Performance::kNone;
          Soundness soundness = lends || tells ? Soundness::kCopied : look;
          if ((looks || tells) && CallerMakes(how)) soundness = Soundness::kPinned;
          if (looks && action.verb == Verb::kContinueUnchecked) soundness = Soundness::kUnchecked;
          if (lends || tells || (looks && action.verb == Verb::kAllow)) planned.performance = how;
          planned.clauses.push_back({clause, action, soundness});
        };
        for (const Clause& clause : list.clauses) {
          look = std::max(look, LookOf(clause.predicate));
          add(&clause, clause.action);
          if (IsAlways(clause.predicate)) open = false;
        }
        if (open) add(nullptr, policy.default_action);
      }
      plan.push_back(std::move(planned));
    }
  }
  return plan;
}

bool NeedsSupervisor(const Rule& rule) {
  return std::ranges::any_of(rule.lists, [](const ClauseList& list) {
    return std::ranges::any_of(list.clauses, [](const Clause& clause) {
      return LooksDeep(clause.predicate) || IsSupervised(clause.action);
    });
  });
}

bool NeedsSupervisor(const TypedPolicy& policy) {
  if (IsSupervised(policy.default_action) || IsSupervised(policy.unknown_action)) return true;
  return std::ranges::any_of(policy.arches, [](const ArchPolicy& arch) {
    return std::ranges::any_of(arch.rules, [](const Rule& rule) { return NeedsSupervisor(rule); });
  });
}

void CheckPlan(const TypedPolicy& policy, abi::ArchId arch, const Rule& rule, Report& report) {
  bool looks_elsewhere = LookOfAll(rule) != Soundness::kRegister;
  for (const ClauseList& list : rule.lists) {
    bool looks = looks_elsewhere;
    bool open = true;
    for (const Clause& clause : list.clauses) {
      // One message: what cannot be looked at cannot be performed either.
      if (!CheckSubjects(clause.predicate, arch, rule.syscall, report)) return;
      looks = looks || LooksDeep(clause.predicate);
      if (looks && open) {
        CheckAction(clause.action, clause.span, arch, rule, report);
      } else if (clause.action.verb == Verb::kAsSupervisor) {
        CheckAsSupervisor(clause.span, arch, rule, report);
      }
      if (IsAlways(clause.predicate)) open = false;
    }
    if (looks && open) CheckAction(policy.default_action, list.span, arch, rule, report);
  }
}

namespace {

bool LetsThrough(PolicyAction action) {
  switch (action.verb) {
    case Verb::kErrno:
    case Verb::kKillProcess:
    case Verb::kKillThread:
    case Verb::kTrap:
    case Verb::kReturn:
      return false;
    case Verb::kAllow:
    case Verb::kTrace:
    case Verb::kLog:
    case Verb::kNotify:
    case Verb::kAsk:
    case Verb::kLook:
    case Verb::kAsSupervisor:
    case Verb::kContinueUnchecked:
      break;
  }
  return true;
}

bool ListLetsThrough(const ClauseList& list, PolicyAction otherwise) {
  for (const Clause& clause : list.clauses) {
    bool is_constant = clause.predicate.kind == Expr::Kind::kConstant;
    if (is_constant && !clause.predicate.truth) continue;
    if (LetsThrough(clause.action)) return true;
    if (is_constant) return false;
  }
  return LetsThrough(otherwise);
}

}  // namespace

bool MayLetThrough(const TypedPolicy& policy, std::string_view call) {
  if (LetsThrough(policy.bad_arch_action)) return true;
  return std::ranges::any_of(policy.arches, [&](const ArchPolicy& arch) {
    auto rule = std::ranges::find(arch.rules, call, &Rule::syscall);
    if (rule == arch.rules.end()) {
      // There is no such call on this ABI (setgroups32 on x86_64).
      if (abi::FindSyscall(arch.arch, call) == nullptr) return LetsThrough(policy.unknown_action);
      // Not named, or newer than the policy.
      return LetsThrough(policy.default_action) || LetsThrough(policy.unknown_action);
    }
    return std::ranges::all_of(rule->lists, [&](const ClauseList& list) {
      return ListLetsThrough(list, policy.default_action);
    });
  });
}

bool Names(const TypedPolicy& policy, std::string_view call) {
  return std::ranges::all_of(policy.arches, [&](const ArchPolicy& arch) {
    return abi::FindSyscall(arch.arch, call) == nullptr ||
           std::ranges::find(arch.rules, call, &Rule::syscall) != arch.rules.end();
  });
}

void CheckBypasses(const TypedPolicy& policy, Report& report) {
  struct Bypass {
    std::string_view call;
    bool starts_programs;  // round the rules about that; else: round those about files and sockets
    std::string_view why;
  };
  constexpr std::array<Bypass, 4> kBypasses{{
      {"io_uring_setup", false,
       "calls made through io_uring pass neither the filter nor the supervisor"},
      {"landlock_restrict_self", false,
       "a Landlock domain of the program does not bind the supervisor, which opens files for it"},
      {"execve", true, "it starts programs too"},
      {"execveat", true, "it starts programs too"},
  }};
  bool lets_pass =
      policy.default_action.verb == Verb::kAllow || policy.default_action.verb == Verb::kLog;
  if (!lets_pass) return;
  std::vector<PlannedRule> plan = PlanPolicy(policy);
  for (const Bypass& bypass : kBypasses) {
    auto performs = std::ranges::find_if(plan, [&](const PlannedRule& rule) {
      return rule.performance != Performance::kNone && NeedsSupervisor(*rule.rule) &&
             bypass.starts_programs == (rule.performance == Performance::kPinned);
    });
    if (performs == plan.end()) continue;
    // On every ABI: a program of one can make calls of another.
    for (const ArchPolicy& arch : policy.arches) {
      bool named = std::ranges::any_of(plan, [&](const PlannedRule& rule) {
        return rule.arch == arch.arch && rule.rule->syscall == bypass.call;
      });
      if (named || abi::FindSyscall(arch.arch, bypass.call) == nullptr) continue;
      std::string call(bypass.call);
      if (policy.arches.size() > 1) call = fmt::format("{}.{}", abi::ArchOf(arch.arch).name, call);
      report.Error(
          policy.default_span,
          fmt::format("the default lets {} pass, a way round the supervisor that performs {}", call,
                      performs->rule->syscall),
          {{std::string(bypass.why), {}},
           {fmt::format("refuse it: `{}: else -> errno(ENOSYS)`", call), {}},
           {fmt::format("or say that it is meant: `{}`", call), {}}});
    }
  }
}

}  // namespace callgate::policy
