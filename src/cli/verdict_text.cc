#include "cli/verdict_text.h"

#include "fmt/format.h"

namespace callgate::cli {

std::string VerdictText(const Verdict& verdict) {
  std::string text = fmt::format("{}\n", verdict.action);
  text += fmt::format("  rule      {}  {}\n", verdict.place, verdict.rule);
  if (!verdict.suggestion.empty()) {
    std::string note =
        verdict.suggestion_note.empty() ? "" : fmt::format("  # {}", verdict.suggestion_note);
    text += fmt::format("  add       {}{}\n", verdict.suggestion, note);
  }
  return text;
}

std::string CasesText(const std::vector<Evaluation::Case>& cases) {
  std::string text;
  for (const Evaluation::Case& one : cases) {
    text += fmt::format("  {}  → {}    rule    {}  {}\n", one.call, one.verdict.action + "\n",
                        one.verdict.place, one.verdict.rule);
  }
  return text;
}

}  // namespace callgate::cli
