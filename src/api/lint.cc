#include "callgate/lint.h"

#include <algorithm>
#include <utility>

#include "api/impl.h"
#include "api/lint.h"
#include "api/subject.h"
#include "base/diagnostic.h"
#include "bpf/disassemble.h"
#include "fmt/format.h"
#include "lint/lint.h"

namespace callgate {
namespace {

// More rounds than there are kinds of fixes that make each other possible.
constexpr int kMaxRounds = 8;

LintSeverity ToPublic(lint::Severity severity) {
  switch (severity) {
    case lint::Severity::kInfo:
      return LintSeverity::kInfo;
    case lint::Severity::kWarning:
      return LintSeverity::kWarning;
    case lint::Severity::kError:
      return LintSeverity::kError;
  }
  std::unreachable();
}

base::Severity ToBase(lint::Severity severity) {
  switch (severity) {
    case lint::Severity::kInfo:
      return base::Severity::kInfo;
    case lint::Severity::kWarning:
      return base::Severity::kWarning;
    case lint::Severity::kError:
      return base::Severity::kError;
  }
  std::unreachable();
}

LintFinding Start(const lint::Finding& finding, std::string file) {
  LintFinding out;
  out.id = lint::ToString(finding.id);
  out.severity = ToPublic(lint::RuleOf(finding.id).severity);
  out.message = finding.message;
  out.file = std::move(file);
  out.witness = finding.witness;
  out.notes = finding.notes;
  // Files that a policy uses are not rewritten.
  out.can_fix = std::ranges::any_of(
      finding.fix, [](const lint::Edit& edit) { return edit.span.file == lint::kOwnFile; });
  return out;
}

std::string Details(const LintFinding& finding, std::string_view advice) {
  std::string text;
  if (!finding.witness.empty()) text += "  witness   " + finding.witness + "\n";
  for (const std::string& note : finding.notes) text += "  beside    " + note + "\n";
  return text +
         fmt::format("  advice    {}{}\n", advice, finding.can_fix ? "  (--fix does it)" : "");
}

LintFinding ToPublic(const lint::Finding& finding, const Policy::Impl& policy) {
  const base::SourceMap& sources = policy.sources;
  LintFinding out = Start(
      finding, finding.span.valid() ? std::string(sources.name(finding.span.file)) : policy.name);
  if (finding.span.valid()) {
    const base::Position begin = sources.PositionOf(finding.span.file, finding.span.begin);
    const base::Position end = sources.PositionOf(finding.span.file, finding.span.end);
    std::tie(out.line, out.column) = std::pair(begin.line, begin.column);
    std::tie(out.end_line, out.end_column) = std::pair(end.line, end.column);
  }
  for (const base::Span& place : finding.related) {
    out.notes.push_back("see " + sources.LineLabel(place));
  }
  const lint::Rule& rule = lint::RuleOf(finding.id);
  const base::Diagnostic diagnostic{
      ToBase(rule.severity), finding.span, fmt::format("{} [{}]", finding.message, out.id), {}};
  const std::string label = finding.span.valid() ? "" : out.file + ": ";
  const std::string details = Details(out, rule.advice);
  out.text = label + base::Render(diagnostic, sources, base::Color::kNo) + details;
  out.color_text = label + base::Render(diagnostic, sources, base::Color::kYes) + details;
  return out;
}

// The line of a listing that shows an instruction.
std::string_view LineOf(std::string_view listing, std::size_t index) {
  for (; index > 0; --index) listing.remove_prefix(listing.find('\n') + 1);
  return listing.substr(0, listing.find('\n'));
}

LintFinding ToPublic(const lint::Finding& finding, const std::string& name,
                     std::string_view listing) {
  LintFinding out = Start(finding, name);
  std::string label = name + ": ", excerpt;
  if (finding.instruction) {
    out.instruction = static_cast<std::uint32_t>(*finding.instruction);
    label += fmt::format("instruction {}: ", *out.instruction);
    excerpt = fmt::format("    {}\n", LineOf(listing, *out.instruction));
  }
  const lint::Rule& rule = lint::RuleOf(finding.id);
  const base::Diagnostic diagnostic{
      ToBase(rule.severity), {}, fmt::format("{} [{}]", finding.message, out.id), {}};
  const std::string details = excerpt + Details(out, rule.advice);
  const base::SourceMap nothing;
  out.text = label + base::Render(diagnostic, nothing, base::Color::kNo) + details;
  out.color_text = label + base::Render(diagnostic, nothing, base::Color::kYes) + details;
  return out;
}

template <typename... Context>
std::vector<LintFinding> ToPublic(const lint::Report& report, const Context&... context) {
  std::vector<LintFinding> all;
  for (const lint::Finding& finding : report.findings) all.push_back(ToPublic(finding, context...));
  for (const lint::Finding& finding : report.suppressed) {
    all.push_back(ToPublic(finding, context...));
    all.back().is_suppressed = true;
  }
  return all;
}

lint::PolicyText TextOf(const Policy::Impl& policy) {
  return {.loaded = &policy.loaded, .typed = &policy.typed, .sources = &policy.sources};
}

Diagnostic Unplaced(const std::string& name, const std::string& message) {
  Diagnostic diagnostic;
  diagnostic.file = name;
  diagnostic.message = message;
  diagnostic.text = diagnostic.color_text = fmt::format("error: {}: {}\n", name, message);
  return diagnostic;
}

}  // namespace

std::vector<LintRule> LintRules() {
  std::vector<LintRule> rules;
  for (const lint::Rule& rule : lint::AllRules()) {
    rules.push_back({lint::ToString(rule.id), ToPublic(rule.severity), rule.can_fix,
                     std::string(rule.title), std::string(rule.reason), std::string(rule.advice)});
  }
  return rules;
}

lint::Source SourceOf(const Subject& subject) {
  lint::Source source{.filters = subject.impl().filters, .text = {}};
  if (subject.impl().policy) {
    source.text = TextOf(subject.impl().policy->impl());
    source.text->is_imported = subject.impl().is_imported;
  }
  return source;
}

std::vector<LintFinding> Lint(const Subject& subject) {
  const lint::Source source = SourceOf(subject);
  const lint::Report report = lint::Lint(source);
  if (source.text) return ToPublic(report, subject.impl().policy->impl());
  return ToPublic(report, subject.name(),
                  std::string_view(bpf::Disassemble(source.filters.front())));
}

std::expected<std::string, Diagnostics> FixPolicyText(const std::string& name, std::string text) {
  for (int round = 0; round < kMaxRounds; ++round) {
    auto policy = Policy::FromText(name, text);
    if (!policy) return std::unexpected(std::move(policy.error()));
    const auto subject = Subject::FromPolicy(*policy);
    if (!subject) return std::unexpected(Diagnostics{{Unplaced(name, subject.error().message)}});
    const lint::Source source = SourceOf(*subject);
    auto fixed = lint::ApplyFixes(*source.text, lint::Lint(source));
    if (!fixed) break;
    text = std::move(*fixed);
  }
  return text;
}

}  // namespace callgate
