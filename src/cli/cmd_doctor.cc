#include <unistd.h>

#include "callgate/system.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

std::string_view Mark(Feature::State state, bool color) {
  switch (state) {
    case Feature::State::kWorks:
      return color ? "\x1b[32mok\x1b[0m     " : "ok     ";
    case Feature::State::kLimited:
      return color ? "\x1b[33mlimited\x1b[0m" : "limited";
    case Feature::State::kMissing:
      return color ? "\x1b[31mmissing\x1b[0m" : "missing";
  }
  return "";
}

}  // namespace

int RunDoctor(const Arguments& arguments) {
  if (!arguments.operands.empty()) {
    return UsageError(VerbNamed("doctor"), fmt::format("unexpected '{}'", arguments.operands[0]));
  }
  std::vector<Feature> features = ProbeSystem();
  int status = kHolds;
  for (const Feature& feature : features) {
    if (feature.required && feature.state == Feature::State::kMissing) status = kDoesNotHold;
  }
  if (arguments.Has("json")) return Finish(FeaturesJson(features), status);
  bool color = UseColor(STDOUT_FILENO);
  std::string text;
  for (const Feature& feature : features) {
    text +=
        fmt::format("{}  {:<28} {}\n", Mark(feature.state, color), feature.name, feature.detail);
    if (!feature.meaning.empty()) text += fmt::format("{:9}{}\n", "", feature.meaning);
    if (!feature.advice.empty()) text += fmt::format("{:9}→ {}\n", "", feature.advice);
  }
  return Finish(text, status);
}

}  // namespace callgate::cli
