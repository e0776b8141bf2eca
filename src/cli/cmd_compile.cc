#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "callgate/compile.h"
#include "cli/draw.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/output.h"
#include "cli/program_output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

// What make(1) reads: a blank, a '#' or a '$' in a name is written so that it stays part of it.
std::string MakeName(std::string_view name) {
  std::string escaped;
  for (char c : name) {
    if (c == ' ' || c == '#' || c == '\\') escaped += '\\';
    if (c == '$') escaped += '$';
    escaped += c;
  }
  return escaped;
}

std::string MakeRule(const std::string& target, std::span<const Policy> layers) {
  std::string rule = MakeName(target) + ":";
  for (const Policy& policy : layers) {
    for (const std::string& file : policy.files()) rule += " " + MakeName(file);
  }
  return rule + "\n";
}

std::vector<std::string> Split(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    const std::string_view part = list.substr(0, list.find(','));
    parts.emplace_back(part);
    list.remove_prefix(std::min(part.size() + 1, list.size()));
  }
  return parts;
}

std::string PassesText(const CompileReport& report) {
  std::string text;
  for (const CompileReport::Pass& pass : report.passes) {
    text += fmt::format("{}{} {}", text.empty() ? "" : ", ", pass.name, pass.nodes);
  }
  return text;
}

std::string ReportText(const CompileReport& report) {
  std::string text = fmt::format(
      "instructions  {} of {}; {} of {} as the kernel counts a task's filters\n"
      "longest path  {}\n",
      report.instructions, report.instruction_limit, report.converted, report.converted_limit,
      report.longest_path);
  text += fmt::format("install       about {:.0f} µs", report.estimated_install_us);
  if (report.measured_install_us) {
    text += fmt::format("; {:.0f} µs measured here", *report.measured_install_us);
  }
  text += fmt::format("\ngraph nodes   {}\n", PassesText(report));
  for (const CompileReport::Abi& abi : report.abis) {
    text += fmt::format(
        "{:<13} mean path {:.1f}, worst {}, worst uncached {}; {} of {} allowed calls cached\n",
        abi.name, abi.mean_path, abi.worst_path, abi.worst_uncached_path, abi.cached, abi.allowed);
    for (const CompileReport::Uncached& call : abi.uncached) {
      text +=
          fmt::format("  {:<22} {:<28} {}\n", call.call, call.reason, fmt::join(call.places, ", "));
    }
  }
  return text;
}

int Fail(const Error& error) {
  Complain("compile", error.message);
  return kBadInput;
}

std::optional<std::string> UsageMistake(const Arguments& arguments) {
  if (arguments.operands.empty()) return "no policy given";
  if (arguments.operands.size() > 1 && !arguments.Has("fuse")) {
    return "one policy makes one filter; --fuse makes one of several";
  }
  if ((arguments.Has("json") || arguments.Has("measure")) && !arguments.Has("report")) {
    return "--json and --measure belong to --report";
  }
  if (arguments.Has("report") && arguments.Has("dump-after")) {
    return "--report and --dump-after are two answers; ask for one";
  }
  return std::nullopt;
}

bool IsDrawn(const Arguments& arguments) {
  return arguments.Value("format") == "dot" || arguments.Value("format") == "svg";
}

int PrintGraph(const Arguments& arguments, const CompileOptions& options,
               std::span<const Policy> layers) {
  auto graph = DumpGraph(layers, options, arguments.Value("dump-after").value_or(""),
                         IsDrawn(arguments) ? GraphFormat::kDot : GraphFormat::kText);
  if (graph && arguments.Value("format") == "svg") graph = DrawSvg(*graph);
  if (!graph) return Fail(graph.error());
  const std::string path(arguments.Value("output").value_or("-"));
  return path == "-" ? Finish(*graph, kHolds) : WriteFile(VerbNamed("compile"), path, *graph);
}

int PrintReport(const Arguments& arguments, const CompileOptions& options,
                std::span<const Policy> layers) {
  const auto report = ReportOn(
      layers, options, arguments.Has("measure") ? InstallTime::kMeasure : InstallTime::kEstimate);
  if (!report) return Fail(report.error());
  return Finish(arguments.Has("json") ? ReportJson(*report) : ReportText(*report), kHolds);
}

}  // namespace

int RunCompile(const Arguments& arguments) {
  const Verb& verb = VerbNamed("compile");
  if (const auto mistake = UsageMistake(arguments)) return UsageError(verb, *mistake);
  const bool prints_graph = arguments.Has("dump-after") || IsDrawn(arguments);
  const bool writes_filter = !prints_graph && (!arguments.Has("report") || arguments.Has("output"));
  std::optional<ProgramOutput> output;
  if (writes_filter) {
    output = ParseProgramOutput(verb, arguments, "listing");
    if (!output) return verb.usage_status;
  }
  const auto depfile = arguments.Value("depfile");
  if (depfile && (!output || output->path == "-")) {
    return UsageError(verb, "--depfile needs -o FILE");
  }
  CompileOptions options;
  options.without = Split(arguments.Value("without").value_or(""));
  if (const auto path = arguments.Value("profile")) {
    auto profile = ReadInput(std::string(*path));
    if (!profile) return Fail(profile.error());
    options.profile = std::move(*profile);
  }

  std::vector<Policy> layers;
  for (const std::string& path : arguments.operands) {
    if (auto policy = LoadPolicy(path)) layers.push_back(std::move(*policy));
  }
  if (layers.size() < arguments.operands.size()) return kBadInput;
  if (prints_graph) return PrintGraph(arguments, options, layers);
  if (writes_filter) {
    const auto program = CompileFused(layers, options);
    if (!program) return Fail(program.error());
    if (depfile) {
      const int status = WriteFile(verb, std::string(*depfile), MakeRule(output->path, layers));
      if (status != kHolds) return status;
    }
    const int status = WriteProgram(verb, *output, *program);
    if (status != kHolds || !arguments.Has("report")) return status;
  }
  return PrintReport(arguments, options, layers);
}

}  // namespace callgate::cli
