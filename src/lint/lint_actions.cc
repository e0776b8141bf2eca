// CG04xx: what the filter answers, and whether the answer does what its author expects.

#include <algorithm>
#include <set>
#include <string>
#include <vector>

#include "abi/action.h"
#include "abi/constants.h"
#include "abi/syscalls.h"
#include "bpf/cache.h"
#include "fmt/format.h"
#include "graph/reach.h"
#include "lint/explicit.h"
#include "lint/subject.h"

namespace callgate::lint {
namespace {

using graph::NodeId;

std::optional<Id> ProblemOf(std::uint32_t value, const Subject& subject) {
  if (subject.decisions.lifted().IsUndecided(value)) return std::nullopt;
  const auto action = abi::ActionFromValue(value);
  if (!action) return Id::kUnknownAction;
  switch (action->kind) {
    case abi::ActionKind::kKillThread:
      return Id::kKillThread;
    case abi::ActionKind::kErrno:
      if (action->data == 0) return Id::kFakeSuccess;
      return action->data > 4095 ? std::optional(Id::kErrnoTooLarge) : std::nullopt;
    case abi::ActionKind::kTrace:
      return Id::kNeedsTracer;
    case abi::ActionKind::kUserNotif:
      // A policy's own verbs say who decides.
      return subject.text ? std::nullopt : std::optional(Id::kNeedsListener);
    case abi::ActionKind::kKillProcess:
    case abi::ActionKind::kTrap:
    case abi::ActionKind::kLog:
    case abi::ActionKind::kAllow:
      return std::nullopt;
  }
  return std::nullopt;
}

std::string_view MessageOf(Id id) {
  switch (id) {
    case Id::kKillThread:
      return "this kills one thread of the process";
    case Id::kFakeSuccess:
      return "the call is not done and returns 0";
    case Id::kErrnoTooLarge:
      return "the kernel returns error 4095 for this";
    case Id::kNeedsTracer:
      return "a tracer is asked, and without one the call fails";
    case Id::kNeedsListener:
      return "a listener is asked, and without one the call fails";
    default:
      return "no kernel knows this action";
  }
}

// Each action that is a problem, once a place, by a call that gets it. Foreign ABIs do not count:
// libraries answer those with kill_thread whatever the author chose.
void CheckValues(Subject& subject, Findings& findings) {
  Decisions& decisions = subject.decisions;
  std::set<std::uint32_t> values;
  for (const NodeId id : graph::ReachableFrom(decisions.pool(), decisions.root())) {
    const graph::Node& node = decisions.pool()[id];
    if (node.is_leaf && ProblemOf(node.ret_value, subject)) values.insert(node.ret_value);
  }
  if (values.empty()) return;
  std::set<std::pair<Id, std::uint64_t>> told;
  auto look = [&](abi::ArchId arch, std::int32_t nr, NodeId body, std::uint32_t value) {
    const auto words = decisions.FindIn(body, decisions.pool().Leaf(1),
                                        [&](std::uint32_t got) { return got == value; });
    if (!words) return;
    const abi::Call call = CallOf(*words, arch, nr);
    const Id id = *ProblemOf(value, subject);
    const base::Span span = findings.PlaceOf(call);
    if (!told.insert({id, std::uint64_t{span.file} << 32U | span.begin}).second) return;
    Finding& finding = findings.Add(id, call, std::string(MessageOf(id)));
    if (id != Id::kKillThread || !subject.text) return;
    const std::string_view text = subject.text->sources->text(span);
    const std::size_t at = text.find("kill_thread");
    if (at == std::string_view::npos) return;
    const auto begin = span.begin + static_cast<std::uint32_t>(at);
    finding.fix.push_back({{span.file, begin, begin + 11}, "kill"});
  };
  for (const std::uint32_t value : values) {
    for (const abi::ArchId arch : subject.arches) {
      for (const abi::Syscall& syscall : abi::SyscallsOf(arch)) {
        look(arch, syscall.nr, decisions.BodyOf(arch, syscall), value);
      }
    }
  }
}

void CheckDefault(Subject& subject, Findings& findings) {
  Decisions& decisions = subject.decisions;
  const graph::Node& unknown = decisions.pool()[decisions.UnknownBody(subject.home())];
  if (subject.text) {
    const policy::TypedPolicy& typed = *subject.text->typed;
    if (typed.default_action.verb == policy::Verb::kLog) {
      findings.AddAt(Id::kDefaultIsLog, typed.default_span, "calls that no rule names are allowed");
    }
  } else if (unknown.is_leaf &&
             unknown.ret_value >> 16U == static_cast<std::uint32_t>(abi::ActionKind::kLog) >> 16U) {
    findings.AddAt(Id::kDefaultIsLog, {}, "calls that the filter does not name are allowed");
  }
}

void CheckCache(Subject& subject, Findings& findings) {
  const std::vector<bpf::ProgramView> views(subject.filters.begin(), subject.filters.end());
  Decisions& decisions = subject.decisions;
  std::size_t count = 0, allowed = 0;
  std::optional<abi::Call> first;
  for (const abi::ArchId id : subject.arches) {
    const abi::Arch& arch = abi::ArchOf(id);
    if (arch.nr_base != 0) continue;  // the kernel keeps no bits for these
    for (const abi::Syscall& syscall : abi::SyscallsOf(id)) {
      const graph::Node& body = decisions.pool()[decisions.BodyOf(id, syscall)];
      if (!body.is_leaf || body.ret_value != abi::kAllow.value()) continue;
      ++allowed;
      const auto nr = static_cast<std::uint32_t>(syscall.nr);
      if (bpf::IsConstantAllow(views, nr, arch.audit_arch)) continue;
      if (count++ == 0) first = CallOf({}, id, syscall.nr);
    }
  }
  if (!first) return;
  findings.Add(Id::kNotCached, *first,
               fmt::format("{} of {} calls that are always allowed run the filter each time", count,
                           allowed));
}

// What a number gets that is newer than the author.
void CheckUnknown(Subject& subject, Findings& findings) {
  const abi::ArchId arch = subject.home();
  const auto enosys = abi::ErrnoValue(arch, "ENOSYS");
  const graph::Node& body = subject.decisions.pool()[subject.decisions.UnknownBody(arch)];
  if (!body.is_leaf || !enosys) return;
  const auto action = abi::ActionFromValue(body.ret_value);
  if (!action || action->kind != abi::ActionKind::kErrno || action->data == *enosys) return;
  const std::int32_t nr = abi::SyscallsOf(arch).back().nr + 200;
  Finding& finding = findings.Add(Id::kUnknownNotEnosys, CallOf({}, arch, nr),
                                  fmt::format("a call that the author could not know gets {}",
                                              Subject::ActionText(body.ret_value)));
  if (subject.text && subject.text->typed->unknown_span.valid()) {
    finding.fix.push_back({subject.text->typed->unknown_span, "unknown: errno(ENOSYS)"});
  }
}

}  // namespace

void CheckActions(Subject& subject, Findings& findings) {
  CheckValues(subject, findings);
  CheckDefault(subject, findings);
  CheckCache(subject, findings);
  CheckUnknown(subject, findings);
}

}  // namespace callgate::lint
