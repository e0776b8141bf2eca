#include <algorithm>
#include <string_view>
#include <variant>

#include "base/nearest.h"
#include "fmt/format.h"
#include "policy/actions.h"
#include "policy/print.h"
#include "policy/resolve.h"

namespace callgate::policy {
namespace {

void ReadArches(const ast::Setting& setting, std::vector<abi::ArchId>& arches, Report& report) {
  for (const ast::Event& event : setting.arches) {
    auto arch = event.prefix.empty() && !event.is_group ? abi::FindArch(event.name) : std::nullopt;
    if (!arch) {
      base::NearestName nearest(event.name);
      for (const abi::Arch& known : abi::AllArches()) nearest.Offer(known.name);
      std::vector<base::Note> notes;
      if (auto best = nearest.Best()) {
        notes.push_back({fmt::format("did you mean '{}'?", *best), {}});
      }
      report.Error(event.span, fmt::format("unknown ABI '{}'", Print(event)), std::move(notes));
    } else if (std::ranges::find(arches, *arch) != arches.end()) {
      report.Error(event.span, fmt::format("{} is named twice", abi::ArchOf(*arch).name));
    } else {
      arches.push_back(*arch);
    }
  }
}

// One action for all ABIs, but error numbers differ between them (ENOSYS is 38 on most, 89 on
// mips).
std::optional<PolicyAction> TypeForAll(std::string_view setting, const ast::Action& action,
                                       const std::vector<abi::ArchId>& arches, Report& report) {
  std::optional<PolicyAction> first;
  for (abi::ArchId arch : arches) {
    std::optional<PolicyAction> typed = TypeAction(action, arch, report);
    if (!typed) return std::nullopt;
    if (!first) first = typed;
    if (*typed == *first) continue;
    report.Error(
        action.span,
        fmt::format("'{}' is error {} on {} and {} on {}", setting, first->data,
                    abi::ArchOf(arches.front()).name, typed->data, abi::ArchOf(arch).name),
        {{"one kernel never runs both: write a policy for each, or an error with one number", {}}});
    return std::nullopt;
  }
  return first;
}

}  // namespace

std::vector<abi::ArchId> ReadSettings(const LoadedPolicy& loaded, abi::ArchId native,
                                      TypedPolicy& typed, Report& report) {
  std::map<std::string, const ast::Setting*> settings;
  for (const LoadedStatement& entry : loaded.statements) {
    const auto* setting = std::get_if<ast::Setting>(&entry.statement->body);
    if (setting == nullptr) continue;
    auto [first, is_new] = settings.emplace(setting->name, setting);
    if (!is_new) {
      report.Error(setting->name_span, fmt::format("a second '{}'", setting->name),
                   {{"the first is here", first->second->name_span}});
    }
  }
  auto find = [&](const char* name) -> const ast::Setting* {
    auto found = settings.find(name);
    return found == settings.end() ? nullptr : found->second;
  };

  std::vector<abi::ArchId> arches;
  if (const auto* setting = find("arch")) ReadArches(*setting, arches, report);
  if (arches.empty()) arches.push_back(native);

  auto read_action = [&](const char* name, PolicyAction& action, base::Span& span) {
    const ast::Setting* setting = find(name);
    if (setting == nullptr) return;
    span = base::Join(setting->name_span, setting->value_span);
    if (auto value = TypeForAll(name, setting->action, arches, report)) action = *value;
  };
  // The number of ENOSYS is the ABI's.
  ast::Action enosys{.name = "errno", .argument = {}, .span = {}};
  if (const auto* setting = find("arch")) enosys.span = setting->value_span;
  enosys.argument.terms.push_back({.kind = ast::Term::Kind::kName, .text = "ENOSYS", .span = {}});
  if (find("unknown") == nullptr) {
    if (auto value = TypeForAll("unknown", enosys, arches, report)) typed.unknown_action = *value;
  }
  read_action("default", typed.default_action, typed.default_span);
  read_action("unknown", typed.unknown_action, typed.unknown_span);
  read_action("bad_arch", typed.bad_arch_action, typed.bad_arch_span);
  if (const auto* setting = find("as_of")) typed.as_of = abi::ParseKernelVersion(setting->version);
  if (const auto* setting = find("on_next_syscall")) typed.on_next_syscall = setting->flag;
  return arches;
}

}  // namespace callgate::policy
