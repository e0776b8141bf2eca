#include "launch/inquiry.h"

#include <cerrno>
#include <charconv>

#include "abi/constants.h"
#include "fmt/format.h"
#include "nlohmann/json.hpp"

namespace callgate::launch {
namespace {

using Json = nlohmann::ordered_json;
using policy::Verb;

constexpr std::int64_t kMaxErrno = 4095;  // MAX_ERRNO, include/linux/err.h

std::optional<std::uint64_t> ParseHex(const Json& json) {
  if (!json.is_string()) return std::nullopt;
  const auto& text = json.get_ref<const std::string&>();
  std::uint64_t value = 0;
  if (!text.starts_with("0x")) return std::nullopt;
  const char* end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data() + 2, end, value, 16);
  if (error != std::errc() || rest != end) return std::nullopt;
  return value;
}

// What has no such member, or one of another type, gives the value that stands for nothing.
template <typename Value>
Value Member(const Json& json, const char* name) {
  auto found = json.find(name);
  if (found == json.end()) return {};
  if constexpr (std::is_same_v<Value, std::string>) {
    return found->is_string() ? found->get<std::string>() : std::string();
  } else {
    return found->is_number_integer() ? found->get<Value>() : Value{};
  }
}

std::optional<Json> ParseObject(std::string_view line) {
  if (line.size() > kMaxLine) return std::nullopt;
  Json json = Json::parse(line, nullptr, /*allow_exceptions=*/false);
  if (json.is_discarded() || !json.is_object()) return std::nullopt;
  auto id = json.find("id");
  if (id == json.end() || !id->is_number_unsigned()) return std::nullopt;
  return json;
}

}  // namespace

std::optional<std::string> InquiryLine(std::uint64_t id, const Inquiry& inquiry) {
  Json json{{"id", id},
            {"syscall", inquiry.syscall},
            {"call", inquiry.text},
            {"pid", inquiry.who.pid},
            {"tid", inquiry.who.tid},
            {"process", inquiry.who.process_name},
            {"nr", inquiry.call.nr},
            {"arch", fmt::format("{:#x}", inquiry.call.arch)}};
  for (std::uint64_t argument : inquiry.call.args) {
    json["args"].push_back(fmt::format("{:#x}", argument));
  }
  json["inputs"] = Json::object();
  for (const supervise::Fact& fact : inquiry.inputs) {
    if (const auto* number = std::get_if<std::uint64_t>(&fact.value)) {
      json["inputs"][fact.name] = *number;
    } else {
      json["inputs"][fact.name] = std::get<std::string>(fact.value);
    }
  }
  json["place"] = inquiry.place;
  json["rule"] = inquiry.rule;
  try {
    std::string line = json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::strict);
    line += '\n';
    if (line.size() > kMaxLine) return std::nullopt;
    return line;
  } catch (const Json::exception&) {  // bytes that are no UTF-8
    return std::nullopt;
  }
}

std::optional<NumberedInquiry> ParseInquiry(std::string_view line) {
  auto json = ParseObject(line);
  if (!json) return std::nullopt;
  auto args = json->find("args"), arch = json->find("arch"), inputs = json->find("inputs");
  NumberedInquiry parsed{.id = Member<std::uint64_t>(*json, "id"), .inquiry = {}};
  Inquiry& inquiry = parsed.inquiry;
  if (args == json->end() || !args->is_array() || args->size() != inquiry.call.args.size() ||
      arch == json->end() || inputs == json->end() || !inputs->is_object()) {
    return std::nullopt;
  }
  for (std::size_t i = 0; i < args->size(); ++i) {
    auto value = ParseHex((*args)[i]);
    if (!value) return std::nullopt;
    inquiry.call.args.at(i) = *value;
  }
  auto number = ParseHex(*arch);
  if (!number) return std::nullopt;
  inquiry.call.arch = static_cast<std::uint32_t>(*number);
  inquiry.call.nr = Member<std::int32_t>(*json, "nr");
  inquiry.syscall = Member<std::string>(*json, "syscall");
  inquiry.text = Member<std::string>(*json, "call");
  inquiry.who.pid = Member<pid_t>(*json, "pid");
  inquiry.who.tid = Member<pid_t>(*json, "tid");
  inquiry.who.process_name = Member<std::string>(*json, "process");
  inquiry.place = Member<std::string>(*json, "place");
  inquiry.rule = Member<std::string>(*json, "rule");
  for (const auto& [name, value] : inputs->items()) {
    if (value.is_number_unsigned()) {
      inquiry.inputs.push_back({name, value.get<std::uint64_t>()});
    } else if (value.is_string()) {
      inquiry.inputs.push_back({name, value.get<std::string>()});
    } else {
      return std::nullopt;
    }
  }
  return parsed;
}

std::string VerdictLine(const Verdict& verdict) {
  Json json{{"id", verdict.id}, {"verdict", verdict.verdict}};
  if (!verdict.reason.empty()) json["reason"] = verdict.reason;
  return json.dump(-1, ' ', /*ensure_ascii=*/true, Json::error_handler_t::replace) + "\n";
}

std::optional<Verdict> ParseVerdict(std::string_view line) {
  auto json = ParseObject(line);
  if (!json) return std::nullopt;
  return Verdict{.id = Member<std::uint64_t>(*json, "id"),
                 .verdict = Member<std::string>(*json, "verdict"),
                 .reason = Member<std::string>(*json, "reason")};
}

std::optional<policy::PolicyAction> ActionNamed(std::string_view verdict, abi::ArchId arch) {
  if (verdict == "allow") return policy::PolicyAction{Verb::kAllow, 0};
  if (verdict == "deny") return policy::PolicyAction{Verb::kErrno, EPERM};
  if (verdict == "kill") return policy::PolicyAction{Verb::kKillProcess, 0};
  if (verdict == "continue_unchecked") return policy::PolicyAction{Verb::kContinueUnchecked, 0};
  std::size_t open = verdict.find('(');
  if (open == std::string_view::npos || !verdict.ends_with(')')) return std::nullopt;
  std::string_view name = verdict.substr(0, open);
  std::string argument(verdict.substr(open + 1, verdict.size() - open - 2));
  std::int64_t number = 0;
  const char* end = argument.data() + argument.size();
  auto [rest, error] = std::from_chars(argument.data(), end, number);
  bool is_number = error == std::errc() && rest == end;
  if (name == "return" && is_number) return policy::PolicyAction{Verb::kReturn, number};
  if (name != "errno") return std::nullopt;
  if (!is_number) {
    auto value = abi::ErrnoValue(arch, argument);
    if (!value) return std::nullopt;
    number = *value;
  }
  // 0 would be a success that nobody has decided on.
  if (number < 1 || number > kMaxErrno) return std::nullopt;
  return policy::PolicyAction{Verb::kErrno, number};
}

}  // namespace callgate::launch
