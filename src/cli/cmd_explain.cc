#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string>
#include <tuple>
#include <vector>

#include "callgate/analysis.h"
#include "callgate/launch.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "cli/verdict_text.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace callgate::cli {
namespace {

// Records that say the same of one program.
struct Entry {
  LogRecord last;
  std::size_t count = 0;
};

std::vector<Entry> Summarise(const std::vector<LogRecord>& records) {
  std::vector<Entry> entries;
  std::map<std::tuple<std::string, std::string, std::string, std::string>, std::size_t> known;
  for (const LogRecord& record : records) {
    const auto [place, is_new] =
        known.try_emplace({record.comm, record.exe, record.call, record.action}, entries.size());
    if (is_new) entries.emplace_back();
    entries[place->second].last = record;
    ++entries[place->second].count;
  }
  return entries;
}

std::string Describe(const Entry& entry) {
  const LogRecord& record = entry.last;
  std::string text = fmt::format("{} (pid {}", record.comm, record.pid);
  if (!record.exe.empty()) text += fmt::format(", {}", record.exe);
  text += fmt::format(")  {}  → {}", record.call, record.action);
  if (record.signal != 0) {
    const char* name = sigabbrev_np(record.signal);
    text +=
        name != nullptr ? fmt::format(", SIG{}", name) : fmt::format(", signal {}", record.signal);
  }
  if (entry.count > 1) text += fmt::format(", {} times", entry.count);
  return text + "\n";
}

// What the policy says of the call; the record's arguments are not known.
std::string ByPolicy(const Policy& policy, const LogRecord& record) {
  if (!record.is_named)
    return fmt::format("  policy    no rule of {} can name it\n", policy.name());
  const auto evaluation = policy.EvaluateText(record.call);
  if (!evaluation) return fmt::format("  policy    {}\n", evaluation.error().message);
  if (!evaluation->verdict) {
    return "  policy    depends on arguments, which the record does not tell\n" +
           CasesText(evaluation->cases);
  }
  if (evaluation->verdict->allowed()) {
    return fmt::format("  policy    {} allows it: another filter decided this\n", policy.name());
  }
  return "  policy    " + VerdictText(*evaluation->verdict);
}

// A policy, or as one what another tool's policy, a filter or a process's filters say. nullopt: why
// not has been said.
std::optional<Policy> LoadRules(const std::string& operand) {
  if (!IsProcess(operand) && Policy::FromFile(operand)) return LoadPolicy(operand);
  const auto subject = LoadSubject(operand);
  if (!subject) return std::nullopt;
  auto text = Decompile(*subject);
  if (!text) {
    Complain("explain", fmt::format("{}: {}", subject->name(), text.error().message));
    return std::nullopt;
  }
  auto policy = Policy::FromText(operand, std::move(text->text));
  return policy ? std::optional(*std::move(policy)) : std::nullopt;
}

// What the policy says now; unlike a record, the registers are known.
std::string NowByPolicy(const Policy& policy, const Denial& denial) {
  const Verdict verdict = policy.Evaluate(denial.registers);
  if (verdict.source == VerdictSource::kLook) {
    return fmt::format("  policy    {} decides by what registers do not tell\n", verdict.place);
  }
  if (verdict.allowed()) return fmt::format("  policy    {} allows it\n", policy.name());
  return "  policy    " + VerdictText(verdict);
}

std::string Headline(const LastRun& run) {
  std::string text = fmt::format("{} (pid {})", fmt::join(run.command, " "), run.pid);
  if (run.status) text += fmt::format(", status {}", *run.status);
  return text + "\n";
}

int ExplainLastRun(const Arguments& arguments, const std::optional<Policy>& policy) {
  const std::string folder = StateFolder();
  if (folder.empty()) {
    Complain("explain", "neither XDG_STATE_HOME nor HOME says where denials are kept");
    return kBadInput;
  }
  const auto run = ReadLastRun(folder);
  if (!run) {
    Complain("explain", run.error().message);
    return kBadInput;
  }
  if (arguments.Has("json")) {
    return Finish(LastRunJson(*run ? **run : LastRun{}), kHolds);
  }
  if (!*run) {
    Complain("explain", fmt::format("no denial of 'callgate run' is kept in {}", folder));
    return kHolds;
  }
  std::string text = Headline(**run);
  for (const Denial& denial : (*run)->denials) {
    const bool is_one = denial.pid != 0;
    text += is_one ? denial.text : fmt::format("callgate: denied  {}\n", denial.call);
    if (denial.repeats > 0) {
      text += fmt::format("  again     {} {}{}\n", denial.repeats,
                          denial.repeats == 1 ? "time" : "times",
                          is_one ? "" : ", with other arguments");
    }
    if (policy && is_one) text += NowByPolicy(*policy, denial);
  }
  return Finish(text, kHolds);
}

// "openat(AT_FDCWD, *, O_RDONLY)" rather than the name of a log.
bool IsCall(const std::string& operand) {
  return operand.ends_with(')') && operand.find('(') != std::string::npos;
}

// A call is explained by what decides it.
int ExplainCalls(const Arguments& arguments) {
  const auto policy = arguments.Value("policy");
  if (!policy) {
    return UsageError(VerbNamed("explain"), "a call is explained by a policy: give one with -p");
  }
  Arguments evaluated = arguments;
  evaluated.operands.insert(evaluated.operands.begin(), std::string(*policy));
  return RunEval(evaluated);
}

}  // namespace

int RunExplain(const Arguments& arguments) {
  const bool is_last = arguments.Has("last");
  if (is_last && !arguments.operands.empty()) {
    return UsageError(VerbNamed("explain"), "--last reads what 'run' kept, and no log");
  }
  if (std::ranges::any_of(arguments.operands, IsCall)) return ExplainCalls(arguments);
  std::optional<Policy> policy;
  if (const auto path = arguments.Value("policy")) {
    policy = LoadRules(std::string(*path));
    if (!policy) return kBadInput;
  }
  if (is_last) return ExplainLastRun(arguments, policy);
  std::vector<std::string> paths = arguments.operands;
  if (paths.empty()) paths.emplace_back("-");
  std::vector<LogRecord> records;
  for (const std::string& path : paths) {
    const auto text = ReadInput(path);
    if (!text) {
      Complain("explain", text.error().message);
      return kBadInput;
    }
    std::ranges::move(ReadAuditLog(*text), std::back_inserter(records));
  }
  if (arguments.Has("json")) return Finish(LogRecordsJson(records), kHolds);
  if (records.empty()) {
    Complain("explain", "no record of a filter (type=1326) in what was read");
    return kHolds;
  }
  std::string text;
  for (const Entry& entry : Summarise(records)) {
    text += Describe(entry);
    if (policy) text += ByPolicy(*policy, entry.last);
  }
  return Finish(text, kHolds);
}

}  // namespace callgate::cli
