#include <cstdio>
#include <string>
#include <string_view>

#include "base/nearest.h"
#include "callgate/system.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

std::string Overview() {
  std::string text =
      "callgate: says what a program may do, and makes it so\n"
      "\n"
      "usage: callgate VERB [options] ...\n"
      "\n";
  for (const Verb& verb : AllVerbs()) text += fmt::format("  {:<10} {}\n", verb.name, verb.summary);
  text +=
      "\n"
      "'callgate VERB --help' tells more; 'man callgate-policy' is the policy language.\n"
      "A first policy:  printf 'default: errno(EPERM)\\n@system-service\\n' > app.cg\n"
      "                 callgate run app.cg -- ./app\n";
  return text;
}

int UnknownVerb(std::string_view given) {
  base::NearestName nearest(given);
  for (const Verb& verb : AllVerbs()) nearest.Offer(verb.name);
  std::string hint;
  if (auto best = nearest.Best()) hint = fmt::format(" (did you mean '{}'?)", *best);
  fmt::print(stderr, "callgate: unknown verb '{}'{}; see 'callgate --help'\n", given, hint);
  return kBadInput;
}

int Main(int argc, char** argv) {
  if (argc < 2) {
    fmt::print(stderr, "{}", Overview());
    return kBadInput;
  }
  std::string_view word = argv[1];
  if (word == "--version" || word == "version") {
    return Finish(fmt::format("callgate {}\n", Version()), kHolds);
  }
  if (word == "--help" || word == "-h" || (word == "help" && argc == 2)) {
    return Finish(Overview(), kHolds);
  }
  bool wants_help = word == "help";
  if (wants_help) word = argv[2];
  for (const Verb& verb : AllVerbs()) {
    if (verb.name != word) continue;
    if (wants_help) return Finish(HelpText(verb), kHolds);
    auto arguments = ParseArguments(verb, argc - 1, argv + 1);
    if (!arguments) return verb.usage_status;
    if (arguments->Has("help")) return Finish("", kHolds);
    return verb.run(*arguments);
  }
  return UnknownVerb(word);
}

}  // namespace
}  // namespace callgate::cli

int main(int argc, char** argv) { return callgate::cli::Main(argc, argv); }
