#include <string>
#include <vector>

#include "callgate/analysis.h"
#include "callgate/program.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

std::string Listing(const std::vector<Program>& filters) {
  std::string text;
  for (std::size_t i = 0; i < filters.size(); ++i) {
    text += fmt::format("; filter {} of {}\n", i + 1, filters.size());
    text += Disassemble(filters[i].instructions());
  }
  return text;
}

std::string Summary(const Subject& subject, const std::vector<Program>& filters) {
  std::size_t instructions = 0;
  for (const Program& filter : filters) instructions += filter.instructions().size();
  return fmt::format("# {}: {} filter{}, {} instructions\n", subject.name(), filters.size(),
                     filters.size() == 1 ? "" : "s", instructions);
}

}  // namespace

int RunShow(const Arguments& arguments) {
  const Verb& verb = VerbNamed("show");
  if (arguments.operands.size() != 1) return UsageError(verb, "one process is shown");
  const std::string& word = arguments.operands[0];
  const auto pid = ParseProcessId(word);
  if (!pid) return UsageError(verb, fmt::format("'{}' is no process id", word));
  const auto subject = Subject::FromProcess(*pid);
  if (!subject) {
    Complain("show", subject.error().message);
    return kBadInput;
  }
  const std::vector<Program> filters = subject->filters();
  if (arguments.Has("listing")) return Finish(Listing(filters), kHolds);
  const auto text = Decompile(*subject);
  if (!text) {
    Complain("show", fmt::format("{}: {}; --listing shows the instructions", subject->name(),
                                 text.error().message));
    return kBadInput;
  }
  return Finish(Summary(*subject, filters) + ExceptionsText(*text) + text->text,
                text->exceptions.empty() ? kHolds : kDoesNotHold);
}

}  // namespace callgate::cli
