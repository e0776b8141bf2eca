#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <optional>

#include "base/nearest.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/verbs.h"
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

int WriteFile(const std::string& path, std::string_view bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  bool ok = file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  if (file != nullptr) ok = std::fclose(file) == 0 && ok;
  if (ok) return kHolds;
  Complain("compile", fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  return kBadInput;
}

}  // namespace

int RunCompile(const Arguments& arguments) {
  const Verb& verb = VerbNamed("compile");
  if (arguments.operands.size() != 1) {
    return UsageError(
        verb, arguments.operands.empty() ? "no policy given" : "one policy makes one filter");
  }
  std::string_view format_name = arguments.Value("format").value_or("listing");
  std::optional<ProgramFormat> format = FindFormat(format_name);
  if (!format) {
    base::NearestName nearest(format_name);
    for (const FormatName& row : kFormats) nearest.Offer(row.name);
    auto best = nearest.Best();
    return UsageError(verb, fmt::format("unknown format '{}'{}", format_name,
                                        best ? fmt::format(" (did you mean '{}'?)", *best) : ""));
  }
  std::string_view name = arguments.Value("name").value_or("callgate_filter");
  std::string output(arguments.Value("output").value_or("-"));
  if (*format == ProgramFormat::kRaw && output == "-" && ::isatty(STDOUT_FILENO) == 1) {
    return UsageError(verb, "raw bytes are not written to a terminal; give -o FILE");
  }

  auto policy = LoadPolicy(arguments.operands[0]);
  if (!policy) return kBadInput;
  auto program = policy->Compile();
  if (!program) {
    Complain("compile", program.error().message);
    return kBadInput;
  }
  auto bytes = program->Write(*format, name);
  if (!bytes) return UsageError(verb, bytes.error().message);
  return output == "-" ? Finish(*bytes, kHolds) : WriteFile(output, *bytes);
}

}  // namespace callgate::cli
