// The only file that pays for the JSON library's headers. Names and paths of a target need not be
// UTF-8 and may hold anything: what is not UTF-8 is replaced, all else is written in ASCII.

#include <sys/wait.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "abi/syscalls.h"
#include "fmt/format.h"
#include "launch/escape.h"
#include "launch/last_denials.h"
#include "launch/report.h"
#include "nlohmann/json.hpp"

namespace callgate::launch {
namespace {

using Json = nlohmann::ordered_json;

std::string Print(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace) + "\n";
}

// A line of a record that anybody may have written.
class RecordLine {
 public:
  explicit RecordLine(std::string_view line)
      : json_(Json::parse(line, nullptr, /*allow_exceptions=*/false)) {}

  std::string Text(const char* key) const {
    const Json value = At(key);
    return value.is_string() ? Checked(value.get<std::string>()) : "";
  }
  std::vector<std::string> Words(const char* key) const {
    std::vector<std::string> words;
    for (const Json& word : At(key)) {
      if (word.is_string()) words.push_back(Escape(word.get<std::string>()));
    }
    return words;
  }
  std::int64_t Number(const char* key) const {
    const Json value = At(key);
    return value.is_number_integer() ? value.get<std::int64_t>() : 0;
  }
  std::vector<std::uint64_t> HexNumbers(const char* key) const {
    std::vector<std::uint64_t> numbers;
    for (const Json& value : At(key)) {
      const std::string text = value.is_string() ? value.get<std::string>() : "";
      numbers.push_back(std::strtoull(text.c_str(), nullptr, 16));
    }
    return numbers;
  }
  // No text that was asked for could move a cursor: no reporter has written such a one.
  bool is_clean() const { return is_clean_; }

 private:
  Json At(const char* key) const {
    const auto found = json_.is_object() ? json_.find(key) : json_.end();
    return found == json_.end() ? Json() : *found;
  }
  std::string Checked(std::string text) const {
    // Escaped as it was, these stand for themselves.
    std::string bare = text;
    std::erase_if(bare, [](char c) { return c == '\\' || c == '"'; });
    is_clean_ = is_clean_ && Escape(bare) == bare;
    return text;
  }

  Json json_;
  mutable bool is_clean_ = true;
};

KeptDenial DenialOf(const RecordLine& record) {
  KeptDenial denial;
  denial.call = record.Text("call");
  denial.outcome = record.Text("outcome");
  denial.who.pid = static_cast<pid_t>(record.Number("pid"));
  denial.who.tid = static_cast<pid_t>(record.Number("tid"));
  denial.who.process_name = record.Text("process");
  denial.who.thread_name = record.Text("thread");
  denial.place = record.Text("place");
  denial.rule = record.Text("rule");
  denial.reason = record.Text("reason");
  denial.add = record.Text("add");
  denial.group = record.Text("group");
  denial.action = record.Text("action");
  denial.registers.nr = static_cast<std::int32_t>(record.Number("nr"));
  denial.registers.arch =
      static_cast<std::uint32_t>(std::strtoull(record.Text("arch").c_str(), nullptr, 16));
  const std::vector<std::uint64_t> args = record.HexNumbers("args");
  std::copy_n(args.begin(), std::min(args.size(), denial.registers.args.size()),
              denial.registers.args.begin());
  return denial;
}

}  // namespace

void ReadRecordLine(std::string_view line, LastRun& run) {
  const RecordLine record(line);
  const std::string event = record.Text("event");
  if (event == "started") {
    run.pid = static_cast<pid_t>(record.Number("pid"));
    run.command = record.Words("command");
  } else if (event == "exited") {
    run.status = static_cast<int>(record.Number("status"));
  } else if (event == "denied") {
    KeptDenial denial = DenialOf(record);
    if (record.is_clean()) run.denials.push_back(std::move(denial));
  } else if (event == "repeated") {
    KeptDenial others;
    others.call = record.Text("call");
    others.outcome = others.action = record.Text("action");
    others.repeats = static_cast<std::uint64_t>(record.Number("count"));
    const auto known = std::ranges::find_if(run.denials, [&](const KeptDenial& denial) {
      return denial.call == others.call && denial.action == others.action;
    });
    if (known != run.denials.end()) {
      known->repeats = others.repeats;
    } else if (record.is_clean()) {
      run.denials.push_back(std::move(others));
    }
  }
}

std::string AuditJson(const AuditRecord& record) {
  const abi::Call& call = record.notification.call;
  const Decision& decision = record.decision;
  auto now = std::chrono::system_clock::now().time_since_epoch();
  auto arch = abi::ArchOfCall(call.arch, call.nr);
  const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, call.nr) : nullptr;
  Json json{{"event", "decision"},
            {"time_ms", std::chrono::duration_cast<std::chrono::milliseconds>(now).count()},
            {"pid", record.pid},
            {"tid", record.notification.tid},
            {"syscall", syscall != nullptr ? std::string(syscall->name) : std::to_string(call.nr)},
            {"nr", call.nr},
            {"arch", fmt::format("{:#x}", call.arch)}};
  for (std::uint64_t argument : call.args) json["args"].push_back(fmt::format("{:#x}", argument));
  json["class"] = decision.looked_at;
  json["inputs"] = Json::object();
  for (const auto& [name, value] : decision.inputs) json["inputs"][name] = value;
  json["place"] = decision.place;
  json["rule"] = decision.rule;
  json["action"] = decision.action;
  if (!decision.answer.empty()) json["answer"] = decision.answer;
  json["outcome"] = record.outcome;
  json["latency_ns"] = record.latency.count();
  return Print(json);
}

std::string AuditCountsJson(const AuditCounts& counts) {
  Json json{{"event", "counts"}, {"outcomes", Json::object()}};
  std::uint64_t all = 0;
  for (const auto& [outcome, count] : counts) {
    json["outcomes"][outcome] = count;
    all += count;
  }
  json["decisions"] = all;
  return Print(json);
}

std::string DenialJson(const Denial& denial) {
  Json json{{"event", "denied"},
            {"syscall", denial.decoded.name},
            {"call", denial.decoded.text},
            {"action", abi::ToString(denial.explanation.verdict)},
            {"outcome", OutcomeText(denial.call, denial.explanation)},
            {"pid", denial.who.pid},
            {"tid", denial.who.tid},
            {"process", denial.who.process_name},
            {"thread", denial.who.thread_name},
            {"nr", denial.call.nr},
            {"arch", fmt::format("{:#x}", denial.call.arch)}};
  for (std::uint64_t argument : denial.call.args) {
    json["args"].push_back(fmt::format("{:#x}", argument));
  }
  const Explanation& why = denial.explanation;
  json["place"] = why.place;
  json["rule"] = why.rule;
  json["reason"] = why.reason;
  json["add"] = why.add;
  json["group"] = why.group;
  if (!denial.who.container.empty()) json["container"] = denial.who.container;
  return Print(json);
}

std::string RepeatedJson(std::string_view call, std::string_view action, std::uint64_t count,
                         std::string_view container) {
  Json json{{"event", "repeated"}, {"call", call}, {"action", action}, {"count", count}};
  if (!container.empty()) json["container"] = container;
  return Print(json);
}

std::string StartedJson(pid_t pid, std::span<const std::string> argv) {
  Json command = Json::array();
  for (const std::string& argument : argv) command.push_back(argument);
  return Print({{"event", "started"}, {"pid", pid}, {"command", command}});
}

std::string ExitedJson(int status) {
  Json json{{"event", "exited"}};
  if (WIFSIGNALED(status)) {
    const char* name = sigabbrev_np(WTERMSIG(status));
    json["status"] = 128 + WTERMSIG(status);
    json["signal"] =
        name != nullptr ? fmt::format("SIG{}", name) : fmt::format("{}", WTERMSIG(status));
  } else {
    json["status"] = WEXITSTATUS(status);
  }
  return Print(json);
}

std::string FailedJson(std::string_view message) {
  return Print({{"event", "failed"}, {"message", message}});
}

std::string NoteJson(std::string_view message) {
  return Print({{"event", "note"}, {"message", message}});
}

}  // namespace callgate::launch
