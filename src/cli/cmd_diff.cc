#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "callgate/analysis.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace callgate::cli {
namespace {

constexpr std::size_t kColumns = 100;
constexpr std::string_view kIndent = "           ";

std::string_view KindText(Difference::Kind kind) {
  switch (kind) {
    case Difference::Kind::kLooser:
      return "LOOSER";
    case Difference::Kind::kTighter:
      return "TIGHTER";
    case Difference::Kind::kOther:
      return "OTHER";
  }
  return "";
}

// Calls that differ whatever their arguments are told in one breath.
bool SameBreath(const Difference& x, const Difference& y) {
  return x.every_argument && y.every_argument && x.kind == y.kind && x.arch == y.arch &&
         x.a_action == y.a_action && x.b_action == y.b_action;
}

// "a, b, c", wrapped behind kIndent.
std::string Wrapped(const std::vector<std::string>& words) {
  std::string text;
  std::size_t column = kIndent.size();
  for (const std::string& word : words) {
    if (!text.empty()) {
      text += ',';
      const bool fits = column + word.size() + 2 < kColumns;
      text += fits ? " " : "\n" + std::string(kIndent);
      column = fits ? column + 2 : kIndent.size();
    }
    text += word;
    column += word.size();
  }
  return text;
}

std::string Describe(const Subject& a, const Subject& b, const std::vector<Difference>& all) {
  std::string text;
  for (std::size_t i = 0; i < all.size();) {
    const Difference& first = all[i];
    std::size_t end = i + 1;
    while (end < all.size() && SameBreath(first, all[end])) ++end;
    std::vector<std::string> calls;
    for (; i < end; ++i) {
      calls.push_back(all[i].every_argument ? all[i].call : all[i].call + "(…)");
    }
    text += fmt::format("  {:<8} {}\n", KindText(first.kind), Wrapped(calls));
    text += fmt::format("{}{} → {}   {} → {}   witness: {} on {}\n", kIndent, a.name(),
                        first.a_action, b.name(), first.b_action, first.witness_text, first.arch);
    if (!first.live.empty()) text += fmt::format("{}{}\n", kIndent, first.live);
  }
  return text;
}

std::string Count(std::size_t count, std::string_view one) {
  return fmt::format("{} {}{}", count, one, count == 1 ? "" : "s");
}

std::string Headline(const Subject& a, const Subject& b, const Comparison& comparison,
                     std::chrono::milliseconds took) {
  const std::string over =
      fmt::format("proved in {} ms over {}", took.count(), fmt::join(comparison.arches, ", "));
  if (comparison.equal == Answer::kHolds) {
    return fmt::format("{} and {} decide every call alike, {}\n", a.name(), b.name(), over);
  }
  const std::string differences = Count(comparison.differences.size(), "difference");
  switch (comparison.b_within_a) {
    case Answer::kHolds:
      if (comparison.equal == Answer::kUndecided) {
        return fmt::format("{} is a subset of {}, {}; undecided whether they are alike: {}\n",
                           b.name(), a.name(), over, comparison.undecided);
      }
      return fmt::format("{} is a subset of {}: {}, none looser, {}\n", b.name(), a.name(),
                         differences, over);
    case Answer::kFails:
      return fmt::format("{} is NOT a subset of {}: {}, {}\n", b.name(), a.name(), differences,
                         over);
    case Answer::kUndecided:
      break;
  }
  return UndecidedText(fmt::format("{} is a subset of {}", b.name(), a.name()),
                       comparison.undecided, comparison.z3.empty());
}

}  // namespace

int RunDiff(const Arguments& arguments) {
  const Verb& verb = VerbNamed("diff");
  if (arguments.operands.size() != 2) return UsageError(verb, "two are compared: A and B");
  std::optional<std::chrono::seconds> limit;
  if (const auto z3 = arguments.Value("z3")) {
    limit = Z3Limit("diff", *z3);
    if (!limit) return kBadInput;
  }
  const auto a = LoadSubject(arguments.operands[0]);
  const auto b = LoadSubject(arguments.operands[1]);
  if (!a || !b) return kBadInput;
  const auto begin = std::chrono::steady_clock::now();
  Comparison comparison = Compare(*a, *b);
  if (limit) {
    if (const auto asked = AskZ3(*a, *b, *limit, comparison); !asked) {
      Complain("diff", asked.error().message);
      return kBadInput;
    }
  }
  const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
      std::chrono::steady_clock::now() - begin);
  if (arguments.Has("live")) {
    if (const auto replayed = ReplayOnKernel(*a, *b, comparison); !replayed) {
      Complain("diff", replayed.error().message);
      return kBadInput;
    }
  }
  const int status = StatusOf(comparison.b_within_a);
  if (arguments.Has("json")) return Finish(ComparisonJson(*a, *b, comparison), status);
  const std::string z3 = comparison.z3.empty() ? "" : fmt::format("  {}\n", comparison.z3);
  return Finish(Headline(*a, *b, comparison, took) + z3 + Describe(*a, *b, comparison.differences),
                status);
}

}  // namespace callgate::cli
