#include "callgate/launch.h"

#include <algorithm>
#include <array>
#include <cerrno>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

#include "abi/syscalls.h"
#include "api/answer.h"
#include "api/compile.h"
#include "api/impl.h"
#include "api/outside.h"
#include "api/policy_actions.h"
#include "api/shared_places.h"
#include "fmt/format.h"
#include "graph/combine.h"
#include "kernel/kernel.h"
#include "launch/launch.h"
#include "policy/lower.h"
#include "policy/plan.h"
#include "supervise/engine.h"

// The layers of a launch become one filter: their graphs are combined by the kernel's own
// precedence, so that a later layer need not be allowed by an earlier one to be installed, and the
// kernel runs one program, not several.
//
// With a supervisor every errno verdict becomes a notification, which the supervisor reports and
// answers with that errno. That holds for calls like close or futex too, which must not be notified
// when somebody means to let them happen: here they are refused in any case, and a signal that
// arrives in between makes a refused call return EINTR or be restarted, never succeed.

namespace callgate {
namespace {

bool KillsOrTraps(policy::PolicyAction action) {
  return action.verb == policy::Verb::kKillProcess || action.verb == policy::Verb::kKillThread ||
         action.verb == policy::Verb::kTrap;
}

// Besides errors, what a supervisor is to know of.
struct ToldOf {
  bool starts = false;   // of programs, where they are judged (supervise/perform_exec.cc)
  bool changes = false;  // of who the callers are (supervise/identities.cc)
};

// What the filter returns under a supervisor.
abi::Action FilterAction(ToldOf told, const policy::DecidedCalls& calls,
                         const policy::PolicyAction& action) {
  const abi::Action own = policy::KernelAction(action);
  constexpr abi::Action kNotified{abi::ActionKind::kUserNotif, 0};
  if (action.verb == policy::Verb::kErrno) return kNotified;
  const abi::Syscall* call =
      calls.arch && calls.nr ? abi::FindSyscall(*calls.arch, *calls.nr) : nullptr;
  if (action.verb != policy::Verb::kAllow || call == nullptr) return own;
  if (told.starts && policy::StartsPrograms(call->name)) return kNotified;
  const supervise::Change change = supervise::ChangeBy(call->name);
  if (!told.changes || change == supervise::Change::kNone) return own;
  return {abi::ActionKind::kTrace, static_cast<std::uint16_t>(change)};
}

base::Result<bpf::Program> CompileLayers(const std::vector<Policy>& layers,
                                         const policy::LowerOptions& options) {
  graph::Graph all = policy::Lower(layers.front().impl().typed, options);
  for (std::size_t i = 1; i < layers.size(); ++i) {
    all = graph::StrictestOf(all, policy::Lower(layers[i].impl().typed, options));
  }
  return CompileValidated(all);
}

// Does a rule let callers make such calls after a look, or leave them to somebody outside?
bool Judges(policy::Performance how, const std::vector<Policy>& layers) {
  return std::ranges::any_of(layers, [how](const Policy& layer) {
    const policy::TypedPolicy& typed = layer.impl().typed;
    if (IsLeft(typed.default_action) || IsLeft(typed.unknown_action)) return true;
    return std::ranges::any_of(policy::PlanPolicy(typed), [how](const policy::PlannedRule& rule) {
      return rule.performance == how;
    });
  });
}

// Can every change of who the callers are be told before it is made? Not where a layer has a use of
// its own for what tells it, or lets calls of an ABI through that it does not know.
bool TellsChanges(const std::vector<Policy>& layers) {
  bool knows_all = false;
  for (const Policy& layer : layers) {
    const policy::TypedPolicy& typed = layer.impl().typed;
    const policy::PolicyAction foreign = typed.bad_arch_action;
    knows_all = knows_all || foreign.verb == policy::Verb::kErrno || KillsOrTraps(foreign);
    bool is_free = true;
    VisitActions(typed, [&](policy::PolicyAction action, base::Span) {
      is_free = is_free && action.verb != policy::Verb::kTrace && action.verb != policy::Verb::kLog;
    });
    if (!is_free) return false;
  }
  return knows_all;
}

// What the program cannot change of itself. A call that one layer refuses is refused.
supervise::Fixed FixedBy(const std::vector<Policy>& layers, bool tells_changes) {
  auto never = [&](std::initializer_list<std::string_view> calls) {
    return std::ranges::all_of(calls, [&](std::string_view call) {
      return std::ranges::any_of(layers, [&](const Policy& layer) {
        return !policy::MayLetThrough(layer.impl().typed, call);
      });
    });
  };
  // A layer that has a rule about a call knows what it lets through.
  auto meant = [&](std::string_view call) {
    return std::ranges::any_of(
        layers, [&](const Policy& layer) { return policy::Names(layer.impl().typed, call); });
  };
  constexpr std::array<std::string_view, 9> kGiveNames{"mount",          "move_mount", "open_tree",
                                                       "open_tree_attr", "fsmount",    "pivot_root",
                                                       "umount2",        "chroot",     "setns"};
  return {.groups = never({"setgroups", "setgroups32"}),
          .namespaces = never({"unshare", "setns"}),
          .root = never({"chroot", "pivot_root"}),
          .names = std::ranges::all_of(
              kGiveNames, [&](std::string_view call) { return meant(call) || never({call}); }),
          .is_told = tells_changes};
}

// What performing needs of the kernel.
std::optional<LaunchError> CheckForPerforming() {
  constexpr std::uint32_t kNeeded =
      SECCOMP_FILTER_FLAG_NEW_LISTENER | kernel::kFlagWaitKillableRecv;
  if (kernel::RealKernel().QueryFilterFlags(kNeeded) == EFAULT) return std::nullopt;
  return LaunchError{125,
                     "cannot perform calls for the program: this kernel lets a signal take a call "
                     "away in the middle (needs Linux 5.19); use a policy that tests registers "
                     "only"};
}

std::expected<launch::LaunchPlan, LaunchError> MakePlan(LaunchOptions options) {
  auto fail = [](std::string message) {
    return std::unexpected(LaunchError{125, std::move(message)});
  };
  if (options.layers.empty()) return fail("cannot launch without a policy");
  bool asks = false;
  bool explain_deaths = false;
  const Policy::Impl* supervised = nullptr;  // a policy that needs more than answers by errno
  for (const Policy& layer : options.layers) {
    const Policy::Impl& impl = layer.impl();
    if (policy::NeedsSupervisor(impl.typed)) supervised = &impl;
    std::optional<std::string> notify;
    VisitActions(impl.typed, [&](policy::PolicyAction action, base::Span span) {
      explain_deaths = explain_deaths || KillsOrTraps(action);
      if (action.verb == policy::Verb::kNotify) notify = impl.sources.LineLabel(span);
      asks = asks || action.verb == policy::Verb::kAsk;
    });
    if (notify && options.notify_fd < 0) {
      return fail(fmt::format(
          "{}: 'notify' asks a handler outside, and there is none; name its socket with "
          "--notify-fd, or use an errno",
          *notify));
    }
    if (notify) supervised = &impl;
  }

  if (supervised != nullptr) {
    if (!options.supervisor) {
      return fail(fmt::format("{}: --no-supervisor leaves nobody to decide what registers do not",
                              supervised->name));
    }
    if (auto refusal = CheckForPerforming()) return std::unexpected(*refusal);
  }

  if (asks) options.layers.push_back(TerminalGuard());
  const bool judges_return = Judges(policy::Performance::kHeld, options.layers);
  if (judges_return) options.layers.push_back(SharedPlacesGuard());
  launch::LaunchPlan plan;
  plan.argv = options.argv;
  policy::LowerOptions lower;
  const ToldOf told{.starts = Judges(policy::Performance::kPinned, options.layers),
                    .changes = supervised != nullptr && TellsChanges(options.layers)};
  if (options.supervisor) lower.filter_action = std::bind_front(FilterAction, told);
  base::Result<bpf::Program> filter = CompileLayers(options.layers, lower);
  if (!filter) return fail(filter.error().ToString());
  plan.stack.filters.push_back(std::move(*filter));
  if (!options.supervisor) return plan;

  plan.stack.listening = 0;
  launch::Supervision supervision;
  supervision.explain = [layers = options.layers](const abi::Call& call) {
    return Explain(JudgeLayers(layers, call, nullptr), call);
  };
  if (supervised != nullptr) {
    auto engine = std::make_shared<supervise::Engine>(kernel::RealKernel(),
                                                      FixedBy(options.layers, told.changes));
    if (told.changes) {
      supervision.change = [engine](supervise::Change change) { engine->Tell(change); };
    }
    supervision.at_end = [engine] { engine->EndHelpers(); };
    auto outside = std::make_shared<Outside>(
        Outside::Setup{.notify_fd = options.notify_fd, .asks = asks}, options.layers);
    supervision.terminal_fd = outside->terminal();
    const bool audits = options.audit_fd >= 0;
    supervision.answer = AnswerBy(
        {.engine = engine, .outside = outside, .layers = options.layers, .audits = audits});
    if (told.starts) {
      supervision.judge_exec = [engine, layers = options.layers, audits](pid_t pid, pid_t former) {
        return JudgeLater(layers, audits, [&](const supervise::DecideFunction& decide) {
          return engine->HandleExec(pid, former, decide);
        });
      };
    }
    if (judges_return) {
      supervision.judge_return = [engine, layers = options.layers, audits](pid_t tid) {
        return JudgeLater(layers, audits, [&](const supervise::DecideFunction& decide) {
          return engine->HandleReturn(tid, decide);
        });
      };
    }
  }
  // Where Yama restricts tracing, memory can be read of traced processes only.
  supervision.explain_deaths = explain_deaths || supervised != nullptr;
  supervision.format = options.format == ReportFormat::kJson ? launch::ReportFormat::kJson
                                                             : launch::ReportFormat::kText;
  supervision.status_fd = options.status_fd;
  supervision.audit_fd = options.audit_fd;
  supervision.state_folder = options.state_folder;
  supervision.notify_fd = options.notify_fd;
  plan.supervision = std::move(supervision);
  return plan;
}

LaunchError ToPublic(const launch::LaunchFailure& failure) {
  return {failure.exit_code, failure.error.ToString()};
}

}  // namespace

LaunchError Exec(const LaunchOptions& options) {
  auto plan = MakePlan(options);
  if (!plan) return plan.error();
  return ToPublic(launch::Exec(*plan, kernel::RealKernel()));
}

std::expected<pid_t, LaunchError> Spawn(const LaunchOptions& options) {
  auto plan = MakePlan(options);
  if (!plan) return std::unexpected(plan.error());
  auto pid = launch::Spawn(*plan, kernel::RealKernel());
  if (!pid) return std::unexpected(ToPublic(pid.error()));
  return *pid;
}

}  // namespace callgate
