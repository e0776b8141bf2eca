#include "format/filter_json.h"

#include <fmt/format.h>

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace callgate::format {
namespace {

using Json = nlohmann::json;

std::unexpected<base::Error> Refuse(std::string reason) {
  return base::Fail(
      {.operation = "read", .subject = "JSON filter", .reason = std::move(reason), .advice = ""});
}

std::optional<std::uint32_t> Field(const Json& instruction, const char* name, std::uint64_t most) {
  const auto field = instruction.find(name);
  if (field == instruction.end() || !field->is_number_unsigned()) return std::nullopt;
  const auto value = field->get<std::uint64_t>();
  if (value > most) return std::nullopt;
  return static_cast<std::uint32_t>(value);
}

}  // namespace

base::Result<bpf::Program> DecodeFilterJson(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  if (json.is_discarded()) return Refuse("not well-formed JSON");
  if (!json.is_array()) return Refuse("a filter is an array of instructions");
  if (json.size() > bpf::kMaxInstructions) {
    return Refuse(fmt::format("{} instructions; the kernel's limit is {}", json.size(),
                              bpf::kMaxInstructions));
  }
  bpf::Program program;
  for (const Json& instruction : json) {
    const auto code = Field(instruction, "code", UINT16_MAX);
    const auto jt = Field(instruction, "jt", UINT8_MAX);
    const auto jf = Field(instruction, "jf", UINT8_MAX);
    const auto k = Field(instruction, "k", UINT32_MAX);
    if (!code || !jt || !jf || !k) {
      return Refuse(fmt::format(
          "instruction {} is not an object with numbers code, jt, jf and k in their ranges",
          program.size()));
    }
    program.push_back({static_cast<std::uint16_t>(*code), static_cast<std::uint8_t>(*jt),
                       static_cast<std::uint8_t>(*jf), *k});
  }
  return program;
}

}  // namespace callgate::format
