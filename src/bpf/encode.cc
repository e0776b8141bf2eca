#include "bpf/encode.h"

#include <fmt/format.h>

#include <array>
#include <charconv>
#include <cstdint>

namespace callgate::bpf {
namespace {

constexpr std::size_t kInstructionSize = sizeof(Instruction);

template <typename Unsigned>
void AppendInteger(std::string& bytes, Unsigned value, std::endian order) {
  for (std::size_t i = 0; i < sizeof(value); ++i) {
    const std::size_t place = order == std::endian::little ? i : sizeof(value) - 1 - i;
    bytes.push_back(static_cast<char>(static_cast<std::uint32_t>(value) >> (8 * place) & 0xff));
  }
}

std::uint32_t ReadInteger(std::string_view bytes, std::endian order) {
  std::uint32_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    const std::size_t place = order == std::endian::little ? bytes.size() - 1 - i : i;
    value = value << 8 | static_cast<unsigned char>(bytes[place]);
  }
  return value;
}

std::unexpected<base::Error> Malformed(std::string reason, std::string advice = {}) {
  return base::Fail({.operation = "read filter program",
                     .subject = {},
                     .errno_value = 0,
                     .reason = std::move(reason),
                     .advice = std::move(advice)});
}

std::unexpected<base::Error> TooLong() {
  return Malformed(fmt::format("more than {} instructions, the kernel's limit for one filter",
                               kMaxInstructions));
}

struct Field {
  std::string_view name;
  std::uint32_t max;
};
constexpr std::array<Field, 4> kFields = {
    {{"code", UINT16_MAX}, {"jt", UINT8_MAX}, {"jf", UINT8_MAX}, {"k", UINT32_MAX}}};

constexpr std::string_view kBlanks = " \t\r";

// One line that is not blank. Columns count bytes from 1.
base::Result<Instruction> DecodeHexLine(std::string_view line, std::size_t line_number) {
  std::array<std::uint32_t, kFields.size()> values{};
  std::size_t at = 0;
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    at = line.find_first_not_of(kBlanks, at);
    if (at == std::string_view::npos) {
      return Malformed(fmt::format("line {}: '{}' is missing", line_number, kFields[i].name),
                       "a line holds four hex numbers: code jt jf k");
    }
    const std::size_t end = std::min(line.find_first_of(kBlanks, at), line.size());
    std::string_view digits = line.substr(at, end - at);
    if (digits.starts_with("0x") || digits.starts_with("0X")) digits.remove_prefix(2);
    std::uint64_t value = 0;
    const auto [stop, error] =
        std::from_chars(digits.data(), digits.data() + digits.size(), value, 16);
    if (error == std::errc::invalid_argument || stop != digits.data() + digits.size()) {
      return Malformed(fmt::format("line {}, column {}: '{}' is not a hex number", line_number,
                                   at + 1, kFields[i].name));
    }
    if (error != std::errc() || value > kFields[i].max) {
      return Malformed(fmt::format("line {}, column {}: '{}' is larger than {:#x}", line_number,
                                   at + 1, kFields[i].name, kFields[i].max));
    }
    values[i] = static_cast<std::uint32_t>(value);
    at = end;
  }
  at = line.find_first_not_of(kBlanks, at);
  if (at != std::string_view::npos) {
    return Malformed(fmt::format("line {}, column {}: more than four numbers", line_number, at + 1),
                     "a line holds four hex numbers: code jt jf k");
  }
  return Instruction{static_cast<std::uint16_t>(values[0]), static_cast<std::uint8_t>(values[1]),
                     static_cast<std::uint8_t>(values[2]), values[3]};
}

}  // namespace

std::string EncodeRaw(ProgramView program, std::endian order) {
  std::string bytes;
  bytes.reserve(program.size() * kInstructionSize);
  for (const Instruction& instruction : program) {
    AppendInteger(bytes, instruction.code, order);
    AppendInteger(bytes, instruction.jt, order);
    AppendInteger(bytes, instruction.jf, order);
    AppendInteger(bytes, instruction.k, order);
  }
  return bytes;
}

base::Result<Program> DecodeRaw(std::string_view bytes, std::endian order) {
  if (bytes.size() % kInstructionSize != 0) {
    return Malformed(fmt::format("{} bytes are no multiple of {}, the size of an instruction",
                                 bytes.size(), kInstructionSize),
                     "give an array of struct sock_filter");
  }
  if (bytes.size() / kInstructionSize > kMaxInstructions) return TooLong();
  Program program;
  program.reserve(bytes.size() / kInstructionSize);
  for (std::size_t at = 0; at < bytes.size(); at += kInstructionSize) {
    program.push_back({static_cast<std::uint16_t>(ReadInteger(bytes.substr(at, 2), order)),
                       static_cast<std::uint8_t>(bytes[at + 2]),
                       static_cast<std::uint8_t>(bytes[at + 3]),
                       ReadInteger(bytes.substr(at + 4, 4), order)});
  }
  return program;
}

std::string EncodeHex(ProgramView program) {
  std::string text;
  for (const Instruction& i : program) {
    text += fmt::format("{:04x} {:02x} {:02x} {:08x}\n", i.code, i.jt, i.jf, i.k);
  }
  return text;
}

base::Result<Program> DecodeHex(std::string_view text) {
  Program program;
  for (std::size_t line_number = 1; !text.empty(); ++line_number) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.find_first_not_of(kBlanks) == std::string_view::npos) continue;
    auto instruction = DecodeHexLine(line, line_number);
    if (!instruction) return std::unexpected(std::move(instruction.error()));
    if (program.size() == kMaxInstructions) return TooLong();
    program.push_back(*instruction);
  }
  return program;
}

std::string EncodeJson(ProgramView program) {
  std::string text = "[";
  for (std::string_view separator = "\n"; const Instruction& i : program) {
    text += fmt::format("{}  {{\"code\": {}, \"jt\": {}, \"jf\": {}, \"k\": {}}}", separator,
                        i.code, i.jt, i.jf, i.k);
    separator = ",\n";
  }
  text += program.empty() ? "]\n" : "\n]\n";
  return text;
}

}  // namespace callgate::bpf
