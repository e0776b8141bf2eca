#include "launch/report.h"

#include <algorithm>
#include <utility>

#include "abi/constants.h"
#include "fmt/format.h"
#include "launch/escape.h"

namespace callgate::launch {
namespace {

constexpr std::uint32_t kMaxDistinct = 16;  // reports of one call and rule
constexpr std::size_t kMaxEntries = 1024;   // remembered reports
constexpr std::size_t kNoteColumn = 41;     // where notes start, after the label

// Labels take ten columns; notes stand in one column unless the text is longer.
std::string Line(std::string_view label, const std::string& text, const std::string& note) {
  std::string line = fmt::format("  {:<10}{}", label, text);
  if (note.empty()) return line + "\n";
  std::size_t padding = text.size() < kNoteColumn ? kNoteColumn - text.size() : 1;
  return line + std::string(padding, ' ') + note + "\n";
}

std::string Where(std::string_view container) {
  return container.empty() ? "" : fmt::format(" in container {}", Escape(container));
}

std::string Who(const ThreadIdentity& who) {
  if (who.tid == 0) return "pid ?";
  pid_t pid = who.pid != 0 ? who.pid : who.tid;
  std::string text = fmt::format("pid {} ({})", pid, Escape(who.process_name));
  if (pid != who.tid) text += fmt::format(" thread {} ({})", who.tid, Escape(who.thread_name));
  return text + Where(who.container);
}

}  // namespace

std::string OutcomeText(const abi::Call& call, abi::Action verdict) {
  if (verdict.kind != abi::ActionKind::kErrno) {
    return fmt::format("SIGSYS ({})", abi::ToString(verdict));
  }
  auto arch = abi::ArchOfCall(call.arch, call.nr).value_or(abi::NativeArch());
  auto name = abi::ErrnoName(arch, verdict.data);
  return name ? std::string(*name) : fmt::format("errno {}", verdict.data);
}

std::string OutcomeText(const abi::Call& call, const Explanation& why) {
  return why.kills ? "SIGKILL (kill)" : OutcomeText(call, why.verdict);
}

std::string DenialText(const KeptDenial& denial) {
  std::string text = fmt::format("callgate: denied  {}  → {}   {}\n", denial.call, denial.outcome,
                                 Who(denial.who));
  std::string rule = Escape(denial.place);
  if (!denial.rule.empty()) rule += (rule.empty() ? "" : "  ") + denial.rule;
  if (!rule.empty()) {
    text += Line("rule", rule, denial.reason.empty() ? "" : fmt::format("({})", denial.reason));
  }
  if (!denial.add.empty()) {
    text += Line("add", denial.add, denial.group.empty() ? "" : fmt::format("# {}", denial.group));
  }
  return text;
}

std::string DenialText(const Denial& denial) {
  const Explanation& why = denial.explanation;
  return DenialText(KeptDenial{.call = denial.decoded.text,
                               .outcome = OutcomeText(denial.call, why),
                               .who = denial.who,
                               .place = why.place,
                               .rule = why.rule,
                               .reason = why.reason,
                               .add = why.add,
                               .group = why.group,
                               .registers = denial.call,
                               .action = abi::ToString(why.verdict)});
}

Reporter::Reporter(ReportFormat format, Output errors, Output status, Output audit,
                   DenialRecord record, std::string container)
    : format_(format),
      errors_(std::move(errors)),
      status_(std::move(status)),
      audit_(std::move(audit)),
      record_(std::move(record)),
      container_(std::move(container)) {}

void Reporter::Decided(const AuditRecord& record) {
  std::string json = AuditJson(record);
  std::lock_guard lock(mutex_);
  ++counts_[record.outcome];
  audit_.Write(json);
}

void Reporter::Finished(int patience_ms) {
  std::lock_guard lock(mutex_);
  audit_.Write(AuditCountsJson(counts_));
  audit_.Drain(patience_ms);
}

void Reporter::Started(pid_t pid, std::span<const std::string> argv) {
  std::lock_guard lock(mutex_);
  const std::string json = StartedJson(pid, argv);
  status_.Write(json);
  record_.Note(json);
}

void Reporter::Denied(const abi::Call& call, pid_t tid, const Explanation& explanation,
                      const TargetView& view, const std::function<bool()>& still_held) {
  // One report class: this call of this ABI, refused by this line in this way.
  std::string report_class = fmt::format("{:#x} {} {} {:#x} ", call.arch, call.nr,
                                         explanation.place, explanation.verdict.value());
  std::string others_key = report_class + "…";
  std::unique_lock lock(mutex_);
  if (!errors_.open() && !status_.open() && !record_.enabled()) return;
  auto repeats = [&](const std::string& key) {
    auto known = entries_.find(key);
    if (known != entries_.end()) ++known->second.repeats;
    return known != entries_.end();
  };
  if (repeats(others_key)) return;  // not even looked at
  // A look may take long; others report meanwhile.
  lock.unlock();
  Denial denial{
      .call = call, .decoded = DecodeCall(call, view), .who = {}, .explanation = explanation};
  if (!still_held()) return;
  const std::string key = report_class + denial.decoded.key;
  lock.lock();
  if (repeats(others_key) || repeats(key)) return;
  lock.unlock();
  denial.who = IdentifyThread(tid);  // takes longer than the rest
  denial.who.container = container_;
  if (!still_held()) return;
  lock.lock();
  if (repeats(others_key) || repeats(key)) return;
  Entry entry{.call = denial.decoded.text,
              .outcome = OutcomeText(call, explanation),
              .action = abi::ToString(explanation.verdict)};
  if (distinct_[report_class] >= kMaxDistinct || entries_.size() >= kMaxEntries) {
    entry.call = denial.decoded.name + "(…)";
    entry.repeats = 1;
    entry.others = true;
    entries_.emplace(std::move(others_key), std::move(entry));
    return;
  }
  ++distinct_[report_class];
  entries_.emplace(key, std::move(entry));
  std::string json = DenialJson(denial);
  errors_.Write(format_ == ReportFormat::kJson ? json : DenialText(denial));
  status_.Write(json);
  record_.Denied(json);
}

void Reporter::Failed(const base::Error& error) {
  std::lock_guard lock(mutex_);
  std::string message = error.ToString();
  std::string json = FailedJson(message);
  errors_.Write(format_ == ReportFormat::kJson ? json : fmt::format("callgate: {}\n", message));
  status_.Write(json);
}

void Reporter::Note(std::string_view message) {
  std::lock_guard lock(mutex_);
  errors_.Write(format_ == ReportFormat::kJson ? NoteJson(message)
                                               : fmt::format("callgate: {}\n", message));
}

void Reporter::FlushCounts() {
  std::lock_guard lock(mutex_);
  for (auto& [key, entry] : entries_) {
    if (entry.repeats == 0) continue;
    std::uint64_t count = std::exchange(entry.repeats, 0);
    std::string json = RepeatedJson(entry.call, entry.action, count, container_);
    std::string text = fmt::format("callgate: denied  {}  → {}   {} more {}{}{}\n", entry.call,
                                   entry.outcome, count, count == 1 ? "time" : "times",
                                   entry.others ? ", with other arguments" : "", Where(container_));
    errors_.Write(format_ == ReportFormat::kJson ? json : text);
    status_.Write(json);
    record_.Note(json);
  }
}

void Reporter::Exited(int status, int patience_ms) {
  std::lock_guard lock(mutex_);
  const std::string json = ExitedJson(status);
  status_.Write(json);
  record_.NoteEnd(json);
  status_.Drain(patience_ms);
  status_.Close();
  errors_.Drain(patience_ms);
  if (!errors_.IsTerminal()) errors_.Close();
}

void Reporter::Drain(int patience_ms) {
  std::lock_guard lock(mutex_);
  errors_.Drain(patience_ms);
}

Reporter::Unwritten Reporter::unwritten() const {
  std::lock_guard lock(mutex_);
  return {.errors = errors_.has_pending() ? errors_.fd() : -1,
          .status = status_.has_pending() ? status_.fd() : -1,
          .audit = audit_.has_pending() ? audit_.fd() : -1};
}

bool Reporter::HasUnwritten() const {
  std::lock_guard lock(mutex_);
  return errors_.has_pending() || status_.has_pending() || audit_.has_pending();
}

void Reporter::Push() {
  std::lock_guard lock(mutex_);
  errors_.Push();
  status_.Push();
  audit_.Push();
}

}  // namespace callgate::launch
