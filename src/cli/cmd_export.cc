#include <algorithm>

#include "base/nearest.h"
#include "callgate/convert.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/program_output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {

int RunExport(const Arguments& arguments) {
  const Verb& verb = VerbNamed("export");
  if (arguments.operands.size() != 1) {
    return UsageError(verb,
                      arguments.operands.empty() ? "no policy given" : "one policy makes one file");
  }
  std::vector<std::string> formats = ForeignFormats();
  auto format = arguments.Value("format");
  if (!format) {
    return UsageError(verb, fmt::format("-f names the format: {}", fmt::join(formats, ", ")));
  }
  if (std::ranges::find(formats, *format) == formats.end()) {
    base::NearestName nearest(*format);
    for (const std::string& name : formats) nearest.Offer(name);
    auto best = nearest.Best();
    return UsageError(verb, fmt::format("unknown format '{}'{}", *format,
                                        best ? fmt::format(" (did you mean '{}'?)", *best) : ""));
  }
  ExportOptions options;
  if (auto name = arguments.Value("name")) options.name = *name;
  if (auto listener = arguments.Value("listener")) {
    if (listener->empty()) return UsageError(verb, "--listener: '' is no path");
    options.listener = *listener;
  }
  std::string_view side = arguments.Value("approximate").value_or("");
  if (side == "tighter") options.approximate = Approximate::kTighter;
  if (side == "looser") options.approximate = Approximate::kLooser;
  if (arguments.Has("approximate") && options.approximate == Approximate::kNo) {
    return UsageError(verb, fmt::format("--approximate: '{}' is neither tighter nor looser", side));
  }
  auto policy = LoadPolicy(arguments.operands[0]);
  if (!policy) return kBadInput;
  auto exported = ExportPolicy(*policy, std::string(*format), options);
  if (!exported) {
    Complain("export", exported.error().message);
    return kBadInput;
  }
  for (const std::string& note : exported->notes) Complain("export", note);
  std::string output(arguments.Value("output").value_or("-"));
  if (output == "-") return Finish(exported->text, kHolds);
  return WriteFile(verb, output, exported->text);
}

}  // namespace callgate::cli
