#include "report/model.h"

#include <algorithm>
#include <map>
#include <set>
#include <string_view>

#include "abi/action.h"
#include "abi/groups.h"
#include "abi/syscalls.h"
#include "analyse/compare.h"
#include "bpf/cache.h"
#include "fmt/format.h"
#include "graph/combine.h"
#include "report/words.h"

namespace callgate::report {
namespace {

using graph::NodeId;
using lint::Decisions;
using lint::Outcome;
using lint::Subject;

// Groups that say why a program needs a call, not what the call does.
constexpr std::string_view kNotTopics[] = {
    "@known", "@default", "@runtime", "@threads", "@vdso-fallback", "@system-service", "@sandbox"};

// The smallest group that is a topic.
const abi::Group* TopicOf(std::string_view syscall) {
  const abi::Group* smallest = nullptr;
  for (const abi::Group& group : abi::AllGroups()) {
    if (std::ranges::find(kNotTopics, group.name) != std::end(kNotTopics)) continue;
    if (!std::ranges::binary_search(group.members, syscall)) continue;
    if (smallest == nullptr || group.members.size() < smallest->members.size()) smallest = &group;
  }
  return smallest;
}

VerdictKind KindOf(const Decisions& decisions, std::uint32_t value) {
  if (decisions.lifted().IsUndecided(value)) return VerdictKind::kOther;
  const auto action = abi::ActionFromValue(value);
  if (!action) return VerdictKind::kKill;
  switch (action->kind) {
    case abi::ActionKind::kAllow:
      return VerdictKind::kAllow;
    case abi::ActionKind::kErrno:
      return VerdictKind::kErrno;
    case abi::ActionKind::kKillProcess:
    case abi::ActionKind::kKillThread:
    case abi::ActionKind::kTrap:
      return VerdictKind::kKill;
    case abi::ActionKind::kLog:
    case abi::ActionKind::kTrace:
    case abi::ActionKind::kUserNotif:
      return VerdictKind::kOther;
  }
  return VerdictKind::kOther;
}

std::string TextOf(const Decisions& decisions, std::uint32_t value) {
  return decisions.lifted().IsUndecided(value) ? "not understood" : abi::RetValueToString(value);
}

Side MakeSide(const Source& source, const lint::Report& report) {
  Side side{.name = source.name, .instructions = 0, .findings = {}};
  for (const bpf::Program& filter : source.what.filters) side.instructions += filter.size();
  for (const lint::Finding& finding : report.findings) {
    const lint::Rule& rule = lint::RuleOf(finding.id);
    FindingEntry entry{.id = lint::ToString(finding.id),
                       .severity = std::string(lint::ToString(rule.severity)),
                       .title = std::string(rule.title),
                       .message = finding.message,
                       .place = {},
                       .witness = finding.witness};
    if (finding.span.valid()) entry.place = source.what.text->sources->LineLabel(finding.span);
    if (finding.instruction) entry.place = fmt::format("instruction {}", *finding.instruction);
    side.findings.push_back(std::move(entry));
  }
  return side;
}

using IdsByCall = std::map<std::pair<std::uint32_t, std::int32_t>, std::set<std::string>>;

IdsByCall IdsOf(const lint::Report& report) {
  IdsByCall ids;
  for (const lint::Finding& finding : report.findings) {
    for (const abi::Call& call : finding.calls) {
      ids[{call.arch, call.nr}].insert(lint::ToString(finding.id));
    }
  }
  return ids;
}

Change::Kind ChangeKind(std::uint32_t a, std::uint32_t b) {
  auto rank = [](std::uint32_t value) {
    return static_cast<std::int32_t>(abi::ActionFromValue(value).value_or(abi::kKillProcess).kind);
  };
  if (rank(a) == rank(b)) return Change::Kind::kOther;
  return rank(b) > rank(a) ? Change::Kind::kLooser : Change::Kind::kTighter;
}

class ModelMaker {
 public:
  ModelMaker(Subject& a, Subject* b) : a_(a), b_(b) {}

  AbiTable TableOf(abi::ArchId arch, const IdsByCall& ids);
  Relation Relate();

 private:
  CallEntry EntryOf(abi::ArchId arch, const abi::Syscall& syscall, const IdsByCall& ids);
  void AddChanges(abi::ArchId arch, const abi::Syscall& syscall, NodeId body, CallEntry& entry);

  Subject& a_;
  Subject* b_;
};

void ModelMaker::AddChanges(abi::ArchId arch, const abi::Syscall& syscall, NodeId body,
                            CallEntry& entry) {
  Decisions& decisions = a_.decisions;
  const NodeId other =
      graph::CopyMapped(b_->decisions.pool(), b_->decisions.BodyOf(arch, syscall), decisions.pool(),
                        [](std::uint32_t value) { return value; });
  if (body == other) return;
  using enum Change::Kind;
  for (const Change::Kind kind : {kLooser, kTighter, kOther}) {
    const auto words = decisions.FindPair(body, other, [&](std::uint32_t x, std::uint32_t y) {
      if (analyse::EffectOf(x) == analyse::EffectOf(y)) return false;
      if (decisions.lifted().IsUndecided(x) || b_->decisions.lifted().IsUndecided(y)) return false;
      return ChangeKind(x, y) == kind;
    });
    if (!words) continue;
    const abi::Call call = lint::CallOf(*words, arch, syscall.nr);
    const abi::CallWords full = abi::WordsOf(call, abi::ArchOf(arch).endian);
    const std::uint32_t a_value = graph::Evaluate(decisions.pool(), body, full);
    const std::uint32_t b_value = graph::Evaluate(decisions.pool(), other, full);
    entry.changes.push_back(
        {kind, a_.CallText(call), TextOf(decisions, a_value), TextOf(b_->decisions, b_value)});
  }
}

CallEntry ModelMaker::EntryOf(abi::ArchId arch, const abi::Syscall& syscall, const IdsByCall& ids) {
  Decisions& decisions = a_.decisions;
  const NodeId body = decisions.BodyOf(arch, syscall);
  CallEntry entry;
  entry.name = syscall.name;
  entry.nr = syscall.nr;
  const graph::Node node = decisions.pool()[body];
  if (node.is_leaf) {
    entry.kind = KindOf(decisions, node.ret_value);
    entry.verdict = TextOf(decisions, node.ret_value);
  } else {
    entry.kind = VerdictKind::kByArgument;
    entry.verdict = "by argument";
    entry.rules = DescribeBody(decisions.pool(), body, arch, syscall,
                               [&](std::uint32_t value) { return TextOf(decisions, value); });
  }
  const std::uint32_t audit_arch = abi::ArchOf(arch).audit_arch;
  const bool may_pass = decisions.Sometimes(arch, syscall.name, Outcome::kAllowed);
  const std::vector<bpf::ProgramView> views(a_.filters.begin(), a_.filters.end());
  entry.is_uncached =
      may_pass && !bpf::IsConstantAllow(views, static_cast<std::uint32_t>(syscall.nr), audit_arch);
  if (const auto found = ids.find({audit_arch, syscall.nr}); found != ids.end()) {
    entry.ids.assign(found->second.begin(), found->second.end());
  }
  if (b_ != nullptr) AddChanges(arch, syscall, body, entry);
  return entry;
}

AbiTable ModelMaker::TableOf(abi::ArchId arch, const IdsByCall& ids) {
  AbiTable table{.arch = std::string(abi::ArchOf(arch).name), .unknown = {}, .groups = {}};
  const graph::Node unknown = a_.decisions.pool()[a_.decisions.UnknownBody(arch)];
  table.unknown = unknown.is_leaf ? TextOf(a_.decisions, unknown.ret_value) : "by argument";
  std::map<std::string, CallGroup> groups;
  for (const abi::Syscall& syscall : abi::SyscallsOf(arch)) {
    const abi::Group* topic = TopicOf(syscall.name);
    const std::string name = topic != nullptr ? std::string(topic->name) : "others";
    CallGroup& group = groups[name];
    group.name = name;
    group.description =
        topic != nullptr ? std::string(topic->description) : "calls of no other group";
    group.calls.push_back(EntryOf(arch, syscall, ids));
  }
  for (auto& [name, group] : groups) {
    std::ranges::sort(group.calls, {}, &CallEntry::name);
    table.groups.push_back(std::move(group));
  }
  return table;
}

// All calls of all ABIs, not those with a name alone.
Relation ModelMaker::Relate() {
  graph::Pool pool;
  auto copy = [&](const Subject& from) {
    analyse::Lifted lifted = from.decisions.lifted();
    lifted.root = graph::CopyMapped(from.decisions.pool(), from.decisions.root(), pool,
                                    [](std::uint32_t value) { return value; });
    return lifted;
  };
  const analyse::Lifted a = copy(a_), b = copy(*b_);
  const analyse::Comparison comparison =
      analyse::Compare(pool, a, b, analyse::Alike::kEffect, {.max_meetings = 50});
  using analyse::Answer;
  Relation relation;
  if (comparison.equal == Answer::kHolds) {
    relation.sentence = "B decides every call of every ABI as A does.";
  } else if (comparison.equal == Answer::kUndecided) {
    relation.sentence = "It could not be decided how B relates to A: " + comparison.undecided + ".";
  } else if (comparison.b_within_a == Answer::kHolds) {
    relation.sentence = "B is at least as strict as A on every call of every ABI.";
  } else if (comparison.a_within_b == Answer::kHolds) {
    relation.sentence = "B is looser than A: it is never stricter, and more lenient on some calls.";
  } else {
    relation.sentence =
        "Neither is as strict as the other: B is looser on some calls, tighter on some.";
  }
  std::set<std::pair<std::uint32_t, Change::Kind>> told;
  for (const analyse::Difference& difference : comparison.differences) {
    const auto nr = static_cast<std::int32_t>(difference.witness[abi::kNrWord]);
    const auto arch = abi::ArchOfCall(difference.witness[abi::kArchWord], nr);
    const bool is_shown = arch && std::ranges::find(a_.arches, *arch) != a_.arches.end() &&
                          abi::FindSyscall(*arch, nr) != nullptr;
    const Change::Kind kind = ChangeKind(difference.a_value, difference.b_value);
    if (is_shown || !told.insert({difference.witness[abi::kArchWord], kind}).second) continue;
    const abi::Call call =
        abi::CallOf(difference.witness, arch ? abi::ArchOf(*arch).endian : std::endian::native);
    relation.elsewhere.push_back({kind, a_.CallText(call), TextOf(a_.decisions, difference.a_value),
                                  TextOf(b_->decisions, difference.b_value)});
  }
  return relation;
}

}  // namespace

Model MakeModel(const Source& a, const Source* b) {
  Subject subject(a.what);
  const lint::Report report = lint::Lint(a.what);
  Model model;
  model.a = MakeSide(a, report);
  std::optional<Subject> other;
  if (b != nullptr) {
    other.emplace(b->what);
    model.b = MakeSide(*b, lint::Lint(b->what));
    // What B alone speaks for is shown as well.
    for (const abi::ArchId arch : other->arches) {
      if (std::ranges::find(subject.arches, arch) == subject.arches.end()) {
        subject.arches.push_back(arch);
      }
    }
  }
  ModelMaker maker(subject, other ? &*other : nullptr);
  const IdsByCall ids = IdsOf(report);
  for (const abi::ArchId arch : subject.arches) model.abis.push_back(maker.TableOf(arch, ids));
  if (other) model.relation = maker.Relate();
  return model;
}

}  // namespace callgate::report
