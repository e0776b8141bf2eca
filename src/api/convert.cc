#include "callgate/convert.h"

#include <algorithm>
#include <utility>

#include "abi/arch.h"
#include "abi/version.h"
#include "agent/container.h"
#include "api/impl.h"
#include "base/diagnostic.h"
#include "base/nearest.h"
#include "fmt/format.h"
#include "format/export.h"
#include "format/import.h"
#include "policy/file_reader.h"
#include "policy/plan.h"

namespace callgate {
namespace {

std::unexpected<Diagnostics> Refuse(std::string message) {
  Diagnostic diagnostic;
  diagnostic.message = std::move(message);
  diagnostic.text = diagnostic.color_text = "error: " + diagnostic.message + "\n";
  return std::unexpected(Diagnostics{{std::move(diagnostic)}});
}

template <typename Names>
std::string DidYouMean(std::string_view given, const Names& names) {
  base::NearestName nearest(given);
  for (const auto& name : names) nearest.Offer(name);
  auto best = nearest.Best();
  return best ? fmt::format(" (did you mean '{}'?)", *best) : "";
}

std::optional<Error> CheckListener(format::ForeignFormat format, const ExportOptions& options) {
  if (format != format::ForeignFormat::kOci && format != format::ForeignFormat::kDocker) {
    return Error{fmt::format("{} has no listener; oci and docker have", format::NameOf(format))};
  }
  auto is_plain = [](char c) { return c > ' ' && c <= '~' && c != '"' && c != '\\'; };
  if (!options.listener.starts_with('/') || !std::ranges::all_of(options.listener, is_plain)) {
    return Error{
        fmt::format("'{}' is no listener: give the absolute path of the agent's socket, "
                    "without blanks and quotes",
                    options.listener)};
  }
  if (!agent::PolicyFile(options.name) || options.name.empty()) {
    return Error{
        fmt::format("'{}' is no name by which an agent finds a policy: use letters, "
                    "digits, '-', '_' and '.'",
                    options.name)};
  }
  return std::nullopt;
}

// The filter of a container whose agent has the policy: it is asked about every call of a rule that
// a filter alone cannot keep.
Result<policy::TypedPolicy> NotifyingAgent(const Policy& policy) {
  policy::TypedPolicy typed = policy.impl().typed;
  for (const policy::PlannedRule& planned : policy::PlanPolicy(policy.impl().typed)) {
    if (planned.performance != policy::Performance::kPinned &&
        planned.performance != policy::Performance::kHeld) {
      continue;
    }
    return std::unexpected(Error{fmt::format(
        "{}: no agent can judge {}, which only the caller itself can make: it does not trace "
        "containers; test registers only, or use 'callgate run'",
        policy.impl().sources.LineLabel(planned.rule->lists.front().span), planned.rule->syscall)});
  }
  for (policy::ArchPolicy& arch : typed.arches) {
    for (policy::Rule& rule : arch.rules) {
      if (!policy::NeedsSupervisor(rule)) continue;
      policy::Clause always;
      always.predicate.truth = true;
      always.action = {policy::Verb::kNotify, 0};
      always.span = rule.lists.front().span;
      rule.lists = {{.clauses = {std::move(always)}, .span = rule.lists.front().span}};
    }
  }
  return typed;
}

}  // namespace

std::expected<Imported, Diagnostics> ImportPolicy(const std::string& name, std::string bytes,
                                                  const ImportOptions& options) {
  format::ImportOptions internal;
  if (!options.format.empty()) {
    internal.format = format::FormatNamed(options.format);
    if (!internal.format) {
      return Refuse(fmt::format("unknown format '{}'{}", options.format,
                                DidYouMean(options.format, format::ImportableFormats())));
    }
  }
  if (!options.arch.empty()) {
    internal.arch = abi::FindArch(options.arch);
    std::vector<std::string_view> names;
    for (const abi::Arch& arch : abi::AllArches()) names.push_back(arch.name);
    if (!internal.arch) {
      return Refuse(
          fmt::format("unknown ABI '{}'{}", options.arch, DidYouMean(options.arch, names)));
    }
  }
  if (!options.kernel.empty()) {
    internal.kernel = abi::ParseKernelVersion(options.kernel);
    if (!internal.kernel) {
      return Refuse(fmt::format("'{}' is no kernel version such as 6.1", options.kernel));
    }
  }
  internal.capabilities = options.capabilities;
  internal.member = options.member;
  internal.include_directory = options.include_directory;

  base::SourceMap sources;
  base::Diagnostics diagnostics;
  auto imported =
      format::Import(name, std::move(bytes), internal, policy::DiskReader(), sources, diagnostics);
  if (!imported) return std::unexpected(Diagnostics{ToPublic(diagnostics, sources)});
  return Imported{std::string(format::NameOf(imported->format)), std::move(imported->policy),
                  std::move(imported->notes)};
}

std::vector<std::string> ForeignFormats() {
  std::vector<std::string> names;
  for (std::string_view name : format::ImportableFormats()) names.emplace_back(name);
  return names;
}

Result<Exported> ExportPolicy(const Policy& policy, const std::string& format_name,
                              const ExportOptions& options) {
  auto foreign = format::FormatNamed(format_name);
  if (!foreign) {
    return std::unexpected(Error{fmt::format("unknown format '{}'{}", format_name,
                                             DidYouMean(format_name, ForeignFormats()))});
  }
  format::ExportOptions internal;
  internal.name = options.name;
  internal.listener = options.listener;
  const policy::TypedPolicy* typed = &policy.impl().typed;
  std::optional<policy::TypedPolicy> notifying;
  if (options.listener.empty()) {
    if (auto error = NeedsMoreThanAFilter(policy)) return std::unexpected(std::move(*error));
  } else {
    if (auto error = CheckListener(*foreign, options)) return std::unexpected(std::move(*error));
    auto made = NotifyingAgent(policy);
    if (!made) return std::unexpected(std::move(made.error()));
    typed = &notifying.emplace(std::move(*made));
  }
  switch (options.approximate) {
    case Approximate::kNo:
      break;
    case Approximate::kTighter:
      internal.approximate = format::Approximate::kTighter;
      break;
    case Approximate::kLooser:
      internal.approximate = format::Approximate::kLooser;
      break;
  }
  auto exported = format::Export(*typed, *foreign, internal);
  if (!exported) return std::unexpected(Error{exported.error().ToString()});
  return Exported{std::move(exported->text), std::move(exported->notes)};
}

}  // namespace callgate
