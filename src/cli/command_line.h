#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace callgate::cli {

// Every verb is one row of a table (verbs.cc) and one cmd_*.cc. Help, completion checks and
// man-page checks read the same rows, so an option cannot exist without its line of help.

struct Option {
  std::string_view name;        // "status-fd", written --status-fd
  char letter = 0;              // 'o' for -o; 0: none
  std::string_view value_name;  // "N"; empty: the option takes no value
  std::string_view help;        // one line
};

class Arguments {
 public:
  bool Has(std::string_view option) const { return Value(option).has_value(); }
  // The last value given; "" for an option without value.
  std::optional<std::string_view> Value(std::string_view option) const;

  std::vector<std::string> operands;  // before "--"
  std::vector<std::string> command;   // after "--"
  bool has_separator = false;
  std::vector<std::pair<std::string, std::string>> options;
};

struct Verb {
  std::string_view name;
  std::string_view summary;      // one line, for the list of verbs
  std::string_view operands;     // "POLICY... -- COMMAND [ARG...]"
  std::string_view description;  // a paragraph or two, lines of at most 78 columns
  std::span<const Option> options;
  int (*run)(const Arguments& arguments);
  int usage_status;  // exit status of a usage error
};

// Parses what follows the verb. On a mistake prints one line with a hint to stderr and returns
// nullopt.
std::optional<Arguments> ParseArguments(const Verb& verb, int argc, char** argv);

// Prints "callgate VERB: MESSAGE; see 'callgate VERB --help'" and returns the verb's usage status.
int UsageError(const Verb& verb, std::string_view message);

std::string HelpText(const Verb& verb);

}  // namespace callgate::cli
