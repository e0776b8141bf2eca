#include "cli/program_output.h"

#include <unistd.h>

#include <array>

#include "base/nearest.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

struct FormatName {
  std::string_view name;
  ProgramFormat format;
};
constexpr std::array kFormats{
    FormatName{"listing", ProgramFormat::kListing}, FormatName{"raw", ProgramFormat::kRaw},
    FormatName{"hex", ProgramFormat::kHex},         FormatName{"c", ProgramFormat::kCHeader},
    FormatName{"json", ProgramFormat::kJson},
};

std::optional<ProgramFormat> FindFormat(std::string_view name) {
  for (const FormatName& row : kFormats) {
    if (row.name == name) return row.format;
  }
  return std::nullopt;
}

}  // namespace

std::optional<ProgramOutput> ParseProgramOutput(const Verb& verb, const Arguments& arguments,
                                                std::string_view default_format) {
  std::string_view format_name = arguments.Value("format").value_or(default_format);
  std::optional<ProgramFormat> format = FindFormat(format_name);
  if (!format) {
    base::NearestName nearest(format_name);
    for (const FormatName& row : kFormats) nearest.Offer(row.name);
    auto best = nearest.Best();
    UsageError(verb, fmt::format("unknown format '{}'{}", format_name,
                                 best ? fmt::format(" (did you mean '{}'?)", *best) : ""));
    return std::nullopt;
  }
  ProgramOutput output{*format, std::string(arguments.Value("name").value_or("callgate_filter")),
                       std::string(arguments.Value("output").value_or("-"))};
  if (*format == ProgramFormat::kRaw && output.path == "-" && ::isatty(STDOUT_FILENO) == 1) {
    UsageError(verb, "raw bytes are not written to a terminal; give -o FILE");
    return std::nullopt;
  }
  return output;
}

int WriteFile(const Verb& verb, const std::string& path, std::string_view bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  bool ok = file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  if (file != nullptr) ok = std::fclose(file) == 0 && ok;
  if (ok) return kHolds;
  Complain(verb.name, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  return kBadInput;
}

int WriteProgram(const Verb& verb, const ProgramOutput& output, const Program& program) {
  auto bytes = program.Write(output.format, output.name);
  if (!bytes) return UsageError(verb, bytes.error().message);
  if (output.path == "-") return Finish(*bytes, kHolds);
  return WriteFile(verb.name, output.path, *bytes) ? kHolds : kBadInput;
}

}  // namespace callgate::cli
