#include <charconv>
#include <optional>

#include "callgate/launch.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

std::optional<int> ParseDescriptor(std::string_view text) {
  int value = -1;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

}  // namespace

int RunRun(const Arguments& arguments) {
  const Verb& verb = VerbNamed("run");
  if (arguments.operands.empty()) return UsageError(verb, "no policy given");
  if (!arguments.has_separator) {
    return UsageError(verb,
                      "no command given; write it after '--': callgate run POLICY -- COMMAND");
  }
  if (arguments.command.empty()) return UsageError(verb, "no command after '--'");

  LaunchOptions options;
  options.argv = arguments.command;
  options.state_folder = StateFolder();
  options.supervisor = !arguments.Has("no-supervisor");
  options.format = arguments.Has("json") ? ReportFormat::kJson : ReportFormat::kText;
  if (!options.supervisor && (arguments.Has("json") || arguments.Has("status-fd") ||
                              arguments.Has("audit-fd") || arguments.Has("notify-fd"))) {
    return UsageError(
        verb,
        "--no-supervisor reports and asks nothing, so --json, --status-fd, --audit-fd "
        "and --notify-fd have no use");
  }
  for (auto [name, result] :
       {std::pair("status-fd", &options.status_fd), std::pair("audit-fd", &options.audit_fd),
        std::pair("notify-fd", &options.notify_fd)}) {
    auto text = arguments.Value(name);
    if (!text) continue;
    auto fd = ParseDescriptor(*text);
    if (!fd) return UsageError(verb, fmt::format("--{}: '{}' is no descriptor", name, *text));
    *result = *fd;
  }
  for (const std::string& path : arguments.operands) {
    auto policy = LoadPolicy(path);
    if (!policy) return kOwnFailure;
    options.layers.push_back(std::move(*policy));
  }
  LaunchError error = Exec(options);
  fmt::print(stderr, "callgate: {}\n", error.message);
  return error.exit_code;
}

}  // namespace callgate::cli
