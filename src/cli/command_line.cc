#include "cli/command_line.h"

#include <getopt.h>

#include <algorithm>
#include <cstdio>

#include "base/nearest.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

// Values getopt_long returns for options without a letter.
constexpr int kFirstLongOnly = 256;

std::string UnknownOption(const Verb& verb, std::string_view given) {
  std::string message = fmt::format("unknown option '{}'", given);
  if (given.starts_with("--")) {
    base::NearestName nearest(given.substr(2, given.find('=') - 2));
    nearest.Offer("help");
    for (const Option& option : verb.options) nearest.Offer(option.name);
    if (auto best = nearest.Best()) message += fmt::format(" (did you mean '--{}'?)", *best);
  }
  return message;
}

}  // namespace

std::optional<std::string_view> Arguments::Value(std::string_view option) const {
  for (auto it = options.rbegin(); it != options.rend(); ++it) {
    if (it->first == option) return it->second;
  }
  return std::nullopt;
}

std::optional<Arguments> ParseArguments(const Verb& verb, int argc, char** argv) {
  Arguments arguments;
  int end = argc;
  for (int i = 1; i < argc; ++i) {
    if (std::string_view(argv[i]) == "--") {
      arguments.has_separator = true;
      arguments.command.assign(argv + i + 1, argv + argc);
      end = i;
      break;
    }
  }

  std::vector<option> long_options;
  std::string letters = ":h";  // ':' first: a missing value is told apart from an unknown option
  long_options.push_back({"help", no_argument, nullptr, 'h'});
  for (std::size_t i = 0; i < verb.options.size(); ++i) {
    const Option& option = verb.options[i];
    int has_value = option.value_name.empty() ? no_argument : required_argument;
    int code = option.letter != 0 ? option.letter : kFirstLongOnly + static_cast<int>(i);
    // Names are literals (verbs.cc), so they end in NUL.
    // NOLINTNEXTLINE(bugprone-suspicious-stringview-data-usage)
    long_options.push_back({option.name.data(), has_value, nullptr, code});
    if (option.letter != 0) {
      letters += option.letter;
      if (has_value == required_argument) letters += ':';
    }
  }
  long_options.push_back({nullptr, 0, nullptr, 0});

  optind = 1;
  opterr = 0;
  int code = 0;
  while ((code = getopt_long(end, argv, letters.c_str(), long_options.data(), nullptr)) != -1) {
    if (code == 'h') {
      std::fputs(HelpText(verb).c_str(), stdout);
      arguments.options.emplace_back("help", "");
      return arguments;
    }
    if (code == '?') {
      bool is_letter = optopt > 0 && optopt < kFirstLongOnly;
      UsageError(verb, UnknownOption(verb, is_letter ? fmt::format("-{}", static_cast<char>(optopt))
                                                     : std::string(argv[optind - 1])));
      return std::nullopt;
    }
    if (code == ':') {
      UsageError(verb, fmt::format("option '{}' needs a value", argv[optind - 1]));
      return std::nullopt;
    }
    auto matches = [&](const Option& option) {
      return option.letter != 0 ? code == option.letter
                                : code == kFirstLongOnly + (&option - verb.options.data());
    };
    auto option = std::find_if(verb.options.begin(), verb.options.end(), matches);
    arguments.options.emplace_back(option->name, optarg != nullptr ? optarg : "");
  }
  arguments.operands.assign(argv + optind, argv + end);
  return arguments;
}

int UsageError(const Verb& verb, std::string_view message) {
  fmt::print(stderr, "callgate {0}: {1}; see 'callgate {0} --help'\n", verb.name, message);
  return verb.usage_status;
}

std::string HelpText(const Verb& verb) {
  std::string text = fmt::format("callgate {}: {}\n\nusage: callgate {} [options]{}{}\n\n{}\n",
                                 verb.name, verb.summary, verb.name,
                                 verb.operands.empty() ? "" : " ", verb.operands, verb.description);
  text += "\noptions:\n";
  auto line = [&](const Option& option) {
    std::string left = option.letter != 0 ? fmt::format("-{}, ", option.letter) : "    ";
    left += fmt::format("--{}", option.name);
    if (!option.value_name.empty()) left += fmt::format(" {}", option.value_name);
    text += fmt::format("  {:<24} {}\n", left, option.help);
  };
  for (const Option& option : verb.options) line(option);
  line({"help", 'h', "", "show this text"});
  return text;
}

}  // namespace callgate::cli
