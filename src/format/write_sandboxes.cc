// Formats of sandbox programs: Firecracker, minijail, Kafel, systemd. Each filter of theirs is for
// one ABI (systemd: for all of a machine), so the policy's first is what is written.

#include <algorithm>
#include <map>
#include <set>

#include "abi/constants.h"
#include "abi/groups.h"
#include "abi/syscalls.h"
#include "fmt/format.h"
#include "format/export.h"

namespace callgate::format {
namespace {

using policy::PolicyAction;
using policy::Verb;

std::string ErrnoText(const PolicyAction& action, abi::ArchId arch) {
  auto name = abi::ErrnoName(arch, static_cast<std::uint32_t>(action.data));
  return name ? std::string(*name) : fmt::format("{}", action.data);
}

// How a format says an action. {data} is its number, {errno} the name that an error has.
struct ActionForms {
  const char *allow, *errno_value, *kill_process, *kill_thread, *trap, *trace, *log, *notify;
};

constexpr ActionForms kFirecrackerActions = {
    .allow = R"("allow")",
    .errno_value = R"({{"errno": {data}}})",
    .kill_process = R"("kill_process")",
    .kill_thread = R"("kill_thread")",
    .trap = R"("trap")",
    .trace = R"({{"trace": {data}}})",
    .log = R"("log")",
    .notify = R"("notify")",  // seccompiler has no such action, and says so
};
constexpr ActionForms kMinijailActions = {.allow = "allow",
                                          .errno_value = "return {errno}",
                                          .kill_process = "kill-process",
                                          .kill_thread = "kill-thread",
                                          .trap = "trap",
                                          .trace = "trace",
                                          .log = "log",
                                          .notify = "user-notify"};
constexpr ActionForms kKafelActions = {.allow = "ALLOW",
                                       .errno_value = "ERRNO({data})",
                                       .kill_process = "KILL_PROCESS",
                                       .kill_thread = "KILL",
                                       .trap = "TRAP({data})",
                                       .trace = "TRACE({data})",
                                       .log = "LOG",
                                       .notify = "USER_NOTIF"};

const char* FormOf(const ActionForms& forms, Verb verb) {
  switch (verb) {
    case Verb::kAllow:
      return forms.allow;
    case Verb::kErrno:
      return forms.errno_value;
    case Verb::kKillProcess:
      return forms.kill_process;
    case Verb::kKillThread:
      return forms.kill_thread;
    case Verb::kTrap:
      return forms.trap;
    case Verb::kTrace:
      return forms.trace;
    case Verb::kLog:
      return forms.log;
    case Verb::kNotify:
    case Verb::kReturn:
    case Verb::kAsk:
    case Verb::kContinueUnchecked:
    case Verb::kAsSupervisor:
    case Verb::kLook:
      break;
  }
  return forms.notify;
}

std::string ActionText(const ActionForms& forms, const PolicyAction& action, abi::ArchId arch) {
  return fmt::format(fmt::runtime(FormOf(forms, action.verb)), fmt::arg("data", action.data),
                     fmt::arg("errno", ErrnoText(action, arch)));
}

std::string FirecrackerArgs(const Cube& cube) {
  std::string out;
  for (std::size_t i = 0; i < cube.mask.size(); ++i) {
    std::uint64_t mask = cube.mask[i];
    if (mask == 0) continue;
    bool is_low = mask <= UINT32_MAX;
    bool is_whole = mask == UINT64_MAX || mask == UINT32_MAX;
    if (!out.empty()) out += ",\n";
    out += fmt::format("          {{\"index\": {}, \"type\": \"{}\", \"op\": {}, \"val\": {}}}", i,
                       is_low ? "dword" : "qword",
                       is_whole ? "\"eq\"" : fmt::format("{{\"masked_eq\": {}}}", mask),
                       cube.value[i]);
  }
  return out;
}

// (x & mask) == value in minijail's words: no bit where value has none, and each bit it has.
std::string MinijailConjunction(const Cube& cube, abi::ArchId arch) {
  const std::uint64_t all = abi::ArchOf(arch).bits == 64 ? UINT64_MAX : UINT32_MAX;
  std::string out;
  auto add = [&](const std::string& atom) {
    if (!out.empty()) out += " && ";
    out += atom;
  };
  for (std::size_t i = 0; i < cube.mask.size(); ++i) {
    const std::uint64_t mask = cube.mask[i], value = cube.value[i];
    if (mask == 0) continue;
    if (mask == all) {
      add(fmt::format("arg{} == {:#x}", i, value));
      continue;
    }
    if (std::uint64_t zeros = mask & ~value; zeros != 0) {
      add(fmt::format("arg{} in {:#x}", i, ~zeros & all));
    }
    for (std::uint64_t rest = value; rest != 0; rest &= rest - 1) {
      add(fmt::format("arg{} & {:#x}", i, rest & (0 - rest)));
    }
  }
  return out;
}

std::string KafelRule(const Listed& call) {
  if (call.Always()) return call.name;
  std::string any;
  for (const Cube& cube : call.cubes) {
    std::string all;
    for (std::size_t i = 0; i < cube.mask.size(); ++i) {
      if (cube.mask[i] == 0) continue;
      if (!all.empty()) all += " && ";
      bool whole = cube.mask[i] == UINT64_MAX || cube.mask[i] == UINT32_MAX;
      all += whole ? fmt::format("a{} == {:#x}", i, cube.value[i])
                   : fmt::format("(a{} & {:#x}) == {:#x}", i, cube.mask[i], cube.value[i]);
    }
    if (!any.empty()) any += " ||\n        ";
    any += call.cubes.size() > 1 ? "(" + all + ")" : all;
  }
  return fmt::format("{}(a0, a1, a2, a3, a4, a5) {{\n        {}\n      }}", call.name, any);
}

// systemd breaks no lines; a list of names does not become more readable by 4000 columns.
std::string SystemdLines(std::string_view start, const std::vector<std::string>& words) {
  std::string out, line;
  for (const std::string& word : words) {
    if (!line.empty() && start.size() + line.size() + word.size() > 100) {
      out += fmt::format("{}{}\n", start, line);
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  if (!line.empty()) out += fmt::format("{}{}\n", start, line);
  return out;
}

std::string SystemdAction(const PolicyAction& action, abi::ArchId arch) {
  return action.verb == Verb::kErrno ? ErrnoText(action, arch) : "kill";
}

}  // namespace

std::string WriteFirecracker(const ExportInput& input) {
  const ExportArch& arch = input.arches.front();
  // One action for all rules: the one most calls have.
  std::map<std::pair<Verb, std::int64_t>, std::size_t> counts;
  for (const Listed& call : arch.calls) ++counts[{call.action.verb, call.action.data}];
  PolicyAction filter_action{Verb::kAllow, 0};
  std::size_t most = 0;
  for (const auto& [action, count] : counts) {
    if (count > most) filter_action = {action.first, action.second};
    most = std::max(most, count);
  }
  std::string rules;
  for (const Listed& call : arch.calls) {
    if (call.action != filter_action) continue;
    for (const Cube& cube : call.cubes) {
      if (!rules.empty()) rules += ",\n";
      rules += fmt::format("      {{\n        \"syscall\": \"{}\"", call.name);
      if (!call.Always()) {
        rules += ",\n        \"args\": [\n" + FirecrackerArgs(cube) + "\n        ]";
      }
      rules += "\n      }";
    }
  }
  return fmt::format(
      "{{\n  \"{}\": {{\n    \"default_action\": {},\n    \"filter_action\": {},\n"
      "    \"filter\": [\n{}\n    ]\n  }}\n}}\n",
      input.options.name, ActionText(kFirecrackerActions, input.policy.default_action, arch.arch),
      ActionText(kFirecrackerActions, filter_action, arch.arch), rules);
}

std::string WriteMinijail(const ExportInput& input) {
  const ExportArch& arch = input.arches.front();
  std::string action_text = ActionText(kMinijailActions, input.policy.default_action, arch.arch);
  std::string out = action_text == "allow" ? "@denylist\n" : "@default " + action_text + "\n";
  for (const Listed& call : arch.calls) {
    std::string action = ActionText(kMinijailActions, call.action, arch.arch);
    if (call.Always()) {
      out += fmt::format("{}: {}\n", call.name, action == "allow" ? "1" : action);
      continue;
    }
    std::string any;
    for (const Cube& cube : call.cubes) {
      if (!any.empty()) any += " || \\\n    ";
      any += MinijailConjunction(cube, arch.arch);
    }
    // Behind `;` in braces is what a match gets.
    out += action == "allow" ? fmt::format("{}: {}\n", call.name, any)
                             : fmt::format("{}: {{ {}; {} }}\n", call.name, any, action);
  }
  return out;
}

std::string WriteKafel(const ExportInput& input) {
  const ExportArch& arch = input.arches.front();
  std::map<std::string, std::vector<std::string>> by_action;
  for (const Listed& call : arch.calls)
    by_action[ActionText(kKafelActions, call.action, arch.arch)].push_back(KafelRule(call));
  std::string out = fmt::format("POLICY {} {{\n", input.options.name);
  for (const auto& [action, rules] : by_action) {
    out += fmt::format("  {} {{\n      {}\n  }}\n", action, fmt::join(rules, ",\n      "));
  }
  return out + fmt::format("}}\n\nUSE {} DEFAULT {}\n", input.options.name,
                           ActionText(kKafelActions, input.policy.default_action, arch.arch));
}

std::string WriteSystemd(const ExportInput& input) {
  std::string out = "[Service]\nSystemCallArchitectures=";
  std::set<std::string> listed;
  std::map<std::string, std::vector<std::string>> by_answer;  // denied calls
  bool allows = input.policy.default_action.verb != Verb::kAllow;
  std::string arches;
  for (const ExportArch& arch : input.arches) {
    std::string_view name = abi::ArchOf(arch.arch).name;
    if (name == "x86_64") name = "x86-64";
    if (name == "i386") name = "x86";
    if (name == "aarch64") name = "arm64";
    arches += (arches.empty() ? "" : " ") + std::string(name);
    for (const Listed& call : arch.calls) {
      if (!listed.insert(call.name).second) continue;
      by_answer[allows ? "" : SystemdAction(call.action, arch.arch)].push_back(call.name);
    }
  }
  out += arches + "\n";
  abi::ArchId first = input.arches.front().arch;
  if (allows) {
    std::string answer = SystemdAction(input.policy.default_action, first);
    if (answer != "kill") out += "SystemCallErrorNumber=" + answer + "\n";
    std::vector<std::string> names;
    for (const ExportArch& arch : input.arches) {
      for (const Listed& call : arch.calls) {
        if (call.action.verb == Verb::kAllow && call.Always()) names.push_back(call.name);
      }
    }
    std::ranges::sort(names);
    names.erase(std::unique(names.begin(), names.end()), names.end());
    out += SystemdLines("SystemCallFilter=",
                        names.empty() ? std::vector<std::string>{"@default"} : names);
    // A list of allowed calls has @default on it, said or not.
    std::vector<std::string> unwanted;
    for (std::string_view name : abi::FindGroup("@default")->members) {
      if (!std::ranges::binary_search(names, name)) unwanted.emplace_back(name);
    }
    return out + SystemdLines("SystemCallFilter=~", unwanted);
  }
  for (auto& [answer, names] : by_answer) {
    for (std::string& name : names) name += ":" + answer;
    out += SystemdLines("SystemCallFilter=~", names);
  }
  return out;
}

}  // namespace callgate::format
