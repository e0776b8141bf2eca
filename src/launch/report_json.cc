// The only file that pays for the JSON library's headers. Names and paths of a target need not be
// UTF-8 and may hold anything: what is not UTF-8 is replaced, all else is written in ASCII.

#include <sys/wait.h>

#include <cstring>

#include "abi/syscalls.h"
#include "fmt/format.h"
#include "launch/report.h"
#include "nlohmann/json.hpp"

namespace callgate::launch {
namespace {

using Json = nlohmann::ordered_json;

std::string Print(const Json& json) {
  return json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace) + "\n";
}

}  // namespace

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
  json["class"] = decision.has_looked ? "copied" : "registers";
  json["inputs"] = Json::object();
  for (const auto& [name, value] : decision.inputs) json["inputs"][name] = value;
  json["place"] = decision.place;
  json["rule"] = decision.rule;
  json["action"] = decision.action;
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
            {"outcome", OutcomeText(denial.call, denial.explanation.verdict)},
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
  return Print(json);
}

std::string RepeatedJson(std::string_view call, std::string_view action, std::uint64_t count) {
  return Print({{"event", "repeated"}, {"call", call}, {"action", action}, {"count", count}});
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

}  // namespace callgate::launch
