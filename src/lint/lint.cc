#include "lint/lint.h"

#include <algorithm>
#include <array>
#include <set>
#include <tuple>

#include "lint/suppress.h"

namespace callgate::lint {
namespace {

constexpr auto kChecks = std::to_array<void (*)(Subject&, Findings&)>(
    {CheckArches, CheckText, CheckRules, CheckWidths, CheckActions, CheckFallbacks, CheckDangers,
     CheckEquivalents, CheckCompleteness});

auto PlaceKey(const Finding& finding) {
  const base::Span& span = finding.span;
  return std::tuple(span.valid() ? span.file + std::uint64_t{1} : 0, span.begin,
                    finding.instruction.value_or(0), finding.id, finding.message);
}

// Several ABIs and several ways to a mistake make one finding.
void SortAndUnite(std::vector<Finding>& findings) {
  std::vector<std::size_t> order(findings.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [&](std::size_t i) { return std::tuple(PlaceKey(findings[i]), i); });
  std::vector<Finding> sorted;
  std::set<std::pair<Id, std::string>> told;
  for (const std::size_t i : order) {
    if (told.insert({findings[i].id, findings[i].message}).second) {
      sorted.push_back(std::move(findings[i]));
    }
  }
  findings = std::move(sorted);
}

}  // namespace

Report Lint(const Source& source) {
  Subject subject(source);
  Findings findings(subject);
  bool gave_up = subject.decisions.TakeGaveUp();
  for (const auto check : kChecks) {
    const std::size_t before = findings.all().size();
    check(subject, findings);
    if (!subject.decisions.TakeGaveUp()) continue;
    // Much of what is found is that something else is not there.
    gave_up = true;
    findings.all().resize(before);
  }
  if (gave_up) {
    findings.AddAt(
        Id::kUndecided, {},
        "the tests interlock in more ways than the limit on work allows, so some questions "
        "have no answer");
  }
  Report report;
  report.findings = std::move(findings.all());
  report.suppressed = Suppress(subject, report.findings);
  SortAndUnite(report.findings);
  SortAndUnite(report.suppressed);
  return report;
}

std::optional<std::string> ApplyFixes(const PolicyText& text, const Report& report) {
  std::vector<Edit> edits;
  for (const Finding& finding : report.findings) {
    for (const Edit& edit : finding.fix) {
      if (edit.span.file == kOwnFile) edits.push_back(edit);
    }
  }
  // From the end to the beginning, so that places stay good.
  std::vector<std::size_t> order(edits.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, std::greater(), [&](std::size_t i) {
    return std::tuple(edits[i].span.begin, edits[i].span.end, i);
  });
  std::string fixed(text.sources->text(kOwnFile));
  std::set<std::tuple<std::uint32_t, std::uint32_t, std::string>> done;
  std::uint32_t next = UINT32_MAX;  // where the edit before begins; what overlaps waits
  for (const std::size_t i : order) {
    const Edit& edit = edits[i];
    if (edit.span.end > next) continue;
    if (!done.insert({edit.span.begin, edit.span.end, edit.text}).second) continue;
    fixed.replace(edit.span.begin, edit.span.end - edit.span.begin, edit.text);
    next = edit.span.begin;
  }
  if (done.empty()) return std::nullopt;
  return fixed;
}

}  // namespace callgate::lint
