#include "bpf/dump.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <utility>

#include "bpf/encode.h"
#include "bpf/opcodes.h"
#include "nlohmann/json.hpp"

namespace callgate::bpf {
namespace {

using Json = nlohmann::json;

std::unexpected<base::Error> Malformed(std::string reason) {
  return base::Fail({.operation = "read filter program",
                     .subject = {},
                     .errno_value = 0,
                     .reason = std::move(reason),
                     .advice = {}});
}

std::optional<std::uint32_t> Member(const Json& object, const char* name, std::uint64_t max) {
  const auto member = object.find(name);
  if (member == object.end() || !member->is_number_unsigned()) return std::nullopt;
  const auto value = member->get<std::uint64_t>();
  return value <= max ? std::optional(static_cast<std::uint32_t>(value)) : std::nullopt;
}

std::optional<Instruction> ToInstruction(const Json& object) {
  if (!object.is_object() || object.size() != 4) return std::nullopt;
  const auto code = Member(object, "code", UINT16_MAX);
  const auto jt = Member(object, "jt", UINT8_MAX);
  const auto jf = Member(object, "jf", UINT8_MAX);
  const auto k = Member(object, "k", UINT32_MAX);
  if (!code || !jt || !jf || !k) return std::nullopt;
  return Instruction{static_cast<std::uint16_t>(*code), static_cast<std::uint8_t>(*jt),
                     static_cast<std::uint8_t>(*jf), *k};
}

bool KnowsEveryCode(const base::Result<Program>& program) {
  return program && std::ranges::all_of(*program, [](const Instruction& instruction) {
           return FindOpcode(instruction.code) != nullptr;
         });
}

}  // namespace

base::Result<Program> DecodeJson(std::string_view text) {
  const Json document = Json::parse(text, nullptr, /*allow_exceptions=*/false);
  if (document.is_discarded()) return Malformed("this is not JSON, though it begins with '['");
  if (!document.is_array()) return Malformed("the JSON is no array of instructions");
  if (document.size() > kMaxInstructions) {
    return Malformed(fmt::format("more than {} instructions, the kernel's limit for one filter",
                                 kMaxInstructions));
  }
  Program program;
  for (const Json& element : document) {
    const auto instruction = ToInstruction(element);
    if (!instruction) {
      return Malformed(fmt::format(
          "element {} is not of the form {{\"code\": 32, \"jt\": 0, \"jf\": 0, \"k\": 4}}",
          program.size()));
    }
    program.push_back(*instruction);
  }
  return program;
}

base::Result<Program> DecodeDump(std::string_view bytes) {
  const std::size_t first = bytes.find_first_not_of(" \t\r\n");
  if (first != std::string_view::npos && bytes[first] == '[') return DecodeJson(bytes);
  if (bytes.find('\0') == std::string_view::npos) return DecodeHex(bytes);
  constexpr std::endian kOther =
      std::endian::native == std::endian::little ? std::endian::big : std::endian::little;
  auto program = DecodeRaw(bytes, std::endian::native);
  auto swapped = DecodeRaw(bytes, kOther);
  return !KnowsEveryCode(program) && KnowsEveryCode(swapped) ? swapped : program;
}

}  // namespace callgate::bpf
