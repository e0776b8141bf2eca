#include "callgate/convert.h"
#include "cli/exit_status.h"
#include "cli/output.h"
#include "cli/program_output.h"
#include "cli/verbs.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

std::vector<std::string> SplitList(std::string_view list) {
  std::vector<std::string> parts;
  while (!list.empty()) {
    std::size_t comma = std::min(list.find(','), list.size());
    if (comma > 0) parts.emplace_back(list.substr(0, comma));
    list.remove_prefix(std::min(comma + 1, list.size()));
  }
  return parts;
}

}  // namespace

int RunImport(const Arguments& arguments) {
  const Verb& verb = VerbNamed("import");
  if (arguments.operands.size() != 1) {
    return UsageError(verb,
                      arguments.operands.empty() ? "no file given" : "one file makes one policy");
  }
  const std::string& path = arguments.operands[0];
  auto text = [&](std::string_view option) {
    return std::string(arguments.Value(option).value_or(""));
  };
  ImportOptions options{.format = text("format"),
                        .include_directory = text("include"),
                        .arch = text("arch"),
                        .member = text("name"),
                        .capabilities = {},
                        .kernel = text("kernel")};
  if (auto list = arguments.Value("cap")) options.capabilities = SplitList(*list);
  auto bytes = ReadInput(path);
  if (!bytes) {
    Complain("import", bytes.error().message);
    return kBadInput;
  }
  auto imported = ImportPolicy(path, *std::move(bytes), options);
  if (!imported) {
    for (const Diagnostic& diagnostic : imported.error().all) PrintDiagnostic(diagnostic);
    return kBadInput;
  }
  for (const std::string& note : imported->notes) Complain("import", note);
  std::string output = text("output");
  if (output.empty() || output == "-") return Finish(imported->policy, kHolds);
  return WriteFile(verb, output, imported->policy);
}

}  // namespace callgate::cli
