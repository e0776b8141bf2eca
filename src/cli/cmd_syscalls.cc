#include "callgate/system.h"
#include "cli/exit_status.h"
#include "cli/json_output.h"
#include "cli/output.h"
#include "cli/verbs.h"
#include "fmt/format.h"
#include "fmt/ranges.h"

namespace callgate::cli {
namespace {

std::string Signature(const SyscallEntry& entry) {
  std::string text;
  for (const SyscallEntry::Argument& argument : entry.arguments) {
    if (!text.empty()) text += ", ";
    text += argument.type + (argument.type.ends_with('*') ? "" : " ") + argument.name;
  }
  return fmt::format("{}({})", entry.name, text);
}

// One call: a line. With details: what each argument is, and the groups.
std::string Describe(const SyscallEntry& entry, bool details) {
  std::string text = fmt::format("{:>10}  {}", entry.nr, Signature(entry));
  if (!entry.since.empty()) text += fmt::format("  since {}", entry.since);
  if (!entry.status.empty()) text += fmt::format("  ({})", entry.status);
  text += "\n";
  if (!details) return text;
  for (const SyscallEntry::Argument& argument : entry.arguments) {
    text += fmt::format("{:12}{:<12} {:>2} bits{}  {}\n", "", argument.name, argument.bits,
                        argument.is_signed ? " signed" : "       ", argument.values);
  }
  if (!entry.groups.empty()) text += fmt::format("{:12}in {}\n", "", fmt::join(entry.groups, " "));
  return text;
}

std::string DescribeGroups() {
  std::string text;
  for (const GroupEntry& group : ListGroups()) {
    text += fmt::format("{:<20} {:>3}  {}\n", group.name, group.members.size(), group.description);
  }
  return text;
}

}  // namespace

int RunSyscalls(const Arguments& arguments) {
  if (arguments.Has("groups")) {
    return Finish(arguments.Has("json") ? GroupsJson(ListGroups()) : DescribeGroups(), kHolds);
  }
  std::vector<std::string> names = arguments.operands;
  if (names.empty()) names.emplace_back();
  std::vector<SyscallEntry> entries;
  std::string text;
  for (const std::string& name : names) {
    auto listed = ListSyscalls(arguments.Value("arch").value_or(""), name);
    if (!listed) {
      Complain("syscalls", listed.error().message);
      return kBadInput;
    }
    bool details = !name.empty() && !name.starts_with('@');
    for (SyscallEntry& entry : *listed) {
      text += Describe(entry, details);
      entries.push_back(std::move(entry));
    }
  }
  return Finish(arguments.Has("json") ? SyscallsJson(entries) : text, kHolds);
}

}  // namespace callgate::cli
