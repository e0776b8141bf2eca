#include "lint/subject.h"

#include <algorithm>
#include <set>
#include <utility>
#include <variant>

#include "abi/action.h"
#include "abi/syscalls.h"
#include "bpf/interpret.h"
#include "fmt/format.h"
#include "graph/reach.h"
#include "policy/call_text.h"

namespace callgate::lint {
namespace {

constexpr std::uint32_t kX32Probe = abi::kX32Bit | 999;  // no kernel has had that many

// The ABIs that a filter compares the architecture with.
std::vector<abi::ArchId> NamedArches(const graph::Pool& pool, graph::NodeId root) {
  std::vector<abi::ArchId> named;
  for (const graph::NodeId id : graph::ReachableFrom(pool, root)) {
    const graph::Node& node = pool[id];
    if (node.is_leaf || node.predicate.word != abi::kArchWord) continue;
    for (const abi::Arch& arch : abi::AllArches()) {
      if (arch.audit_arch == node.predicate.constant && arch.id != abi::ArchId::kX32) {
        named.push_back(arch.id);
      }
    }
  }
  std::ranges::sort(named);
  const auto repeated = std::ranges::unique(named);
  named.erase(repeated.begin(), repeated.end());
  return named;
}

bool Allows(Decisions& decisions, graph::NodeId body) {
  return decisions
      .FindIn(body, decisions.pool().Leaf(1),
              [&](std::uint32_t value) { return decisions.OutcomeOf(value) == Outcome::kAllowed; })
      .has_value();
}

bool AllowsAny(Decisions& decisions, abi::ArchId arch) {
  std::set<graph::NodeId> asked;
  return std::ranges::any_of(abi::SyscallsOf(arch), [&](const abi::Syscall& syscall) {
    const graph::NodeId body = decisions.BodyOf(arch, syscall);
    return asked.insert(body).second && Allows(decisions, body);
  });
}

// Does the filter mean x32, or does it only fail to keep it out? Who means it allows some of its
// calls and not every number.
bool SpeaksForX32(Decisions& decisions) {
  const std::uint32_t audit_arch = abi::ArchOf(abi::ArchId::kX32).audit_arch;
  return !Allows(decisions, decisions.BodyOf(audit_arch, kX32Probe)) &&
         AllowsAny(decisions, abi::ArchId::kX32);
}

bool AllowsUnknown(Subject& subject) {
  return std::ranges::any_of(subject.arches, [&](abi::ArchId arch) {
    return Allows(subject.decisions, subject.decisions.UnknownBody(arch));
  });
}

// Is there something in a register that the kernel does not look at, and that no sign extension
// leaves there? The call in words would not show it.
bool HasJunk(const abi::Call& call) {
  const auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  const auto signature = syscall != nullptr ? abi::SignatureOf(*arch, syscall->name) : std::nullopt;
  if (!signature) return false;
  for (std::size_t i = 0; i < signature->size(); ++i) {
    const std::uint64_t above = call.args[i] >> 32U;
    if ((*signature)[i].bits <= 32 && above != 0 && above != UINT32_MAX) return true;
  }
  return false;
}

std::string RegisterText(const abi::Call& call) {
  const auto arch = *abi::ArchOfCall(call.arch, call.nr);
  const std::string_view name = abi::FindSyscall(arch, call.nr)->name;
  std::string text = fmt::format("{}(", name);
  const std::size_t count = abi::SignatureOf(arch, name)->size();
  for (std::size_t i = 0; i < count; ++i) {
    text += fmt::format("{}{:#x}", i == 0 ? "" : ", ", call.args[i]);
  }
  return text + ")";
}

}  // namespace

Subject::Subject(const Source& source)
    : decisions(Decisions::Of(source.filters)), filters(source.filters), text(source.text) {
  if (text) {
    for (const policy::ArchPolicy& arch : text->typed->arches) {
      if (AllowsAny(decisions, arch.arch)) arches.push_back(arch.arch);
    }
    // Whoever is named only to be refused lacks nothing.
    if (arches.empty()) arches.push_back(text->typed->arches.front().arch);
    const policy::Verb verb = text->typed->default_action.verb;
    is_allowlist = verb != policy::Verb::kAllow && verb != policy::Verb::kLog;
    const auto& statements = text->loaded->files.front().statements;
    is_fragment = std::ranges::none_of(statements, [](const policy::ast::Statement& one) {
      return std::holds_alternative<policy::ast::Setting>(one.body);
    });
    return;
  }
  arches = NamedArches(decisions.pool(), decisions.root());
  names_arch = !arches.empty();
  if (!names_arch) arches.push_back(abi::NativeArch());
  // The native ABI is the one people think of; its witnesses come first.
  const auto native = std::ranges::find(arches, abi::NativeArch());
  if (native != arches.end()) std::rotate(arches.begin(), native, native + 1);
  const bool has_x86_64 = std::ranges::find(arches, abi::ArchId::kX86_64) != arches.end();
  if (has_x86_64 && SpeaksForX32(decisions)) arches.push_back(abi::ArchId::kX32);
  is_allowlist = !AllowsUnknown(*this);
}

std::string Subject::CallText(const abi::Call& call) const {
  return policy::FormatCall(call, home());
}

std::string Subject::ActionText(std::uint32_t ret_value) {
  return abi::RetValueToString(ret_value);
}

base::Span Findings::PlaceOf(const abi::Call& call) const {
  return subject_.text ? policy::Judge(*subject_.text->typed, call).span : base::Span{};
}

std::string Findings::WitnessText(const abi::Call& call) const {
  const auto arch = abi::ArchOfCall(call.arch, call.nr);
  const std::endian order = arch ? abi::ArchOf(*arch).endian : std::endian::native;
  const std::uint32_t value = graph::Evaluate(subject_.decisions.pool(), subject_.decisions.root(),
                                              abi::WordsOf(call, order));
  return fmt::format("{} → {}", HasJunk(call) ? RegisterText(call) : subject_.CallText(call),
                     Subject::ActionText(value));
}

Finding& Findings::Add(Id id, const abi::Call& call, std::string message) {
  Finding finding{.id = id, .message = std::move(message), .span = PlaceOf(call)};
  finding.witness = WitnessText(call);
  finding.calls.push_back(call);
  // In a stack it is not one filter that decides.
  if (!subject_.text && subject_.filters.size() == 1) {
    const auto arch = abi::ArchOfCall(call.arch, call.nr);
    const std::endian order = arch ? abi::ArchOf(*arch).endian : std::endian::native;
    finding.instruction =
        bpf::InterpretWithTrace(subject_.filters.front(), abi::WordsOf(call, order)).path.back();
  }
  return all_.emplace_back(std::move(finding));
}

Finding& Findings::AddAt(Id id, base::Span span, std::string message) {
  return all_.emplace_back(Finding{.id = id, .message = std::move(message), .span = span});
}

Finding& Findings::AddAtInstruction(Id id, std::size_t instruction, std::string message) {
  Finding& finding = AddAt(id, {}, std::move(message));
  finding.instruction = instruction;
  return finding;
}

}  // namespace callgate::lint
