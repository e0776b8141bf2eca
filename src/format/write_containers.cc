// Container formats: OCI runtime JSON, Docker's profile form, SPO objects. All three hold the same
// rules; only the frame differs.
//
// A cube becomes a rule of its own with one masked equality an argument, never two conditions on
// one argument, which runtimes would join by OR. A bit pattern of 32 bits is compared masked, so
// that the upper half of an `int` does not matter, as it does not for the kernel.
//
// runc answers ENOSYS above the largest number a profile names, so calls that get ENOSYS there are
// left out, and the largest other one is named, if need be with the default's action.

#include <algorithm>
#include <map>
#include <set>

#include "abi/constants.h"
#include "abi/syscalls.h"
#include "fmt/format.h"
#include "format/export.h"
#include "format/multiplexed.h"
#include "format/oci.h"

namespace callgate::format {
namespace {

struct Condition {
  int index;
  std::string op;
  std::uint64_t value;
  std::uint64_t value_two;
};

struct Rule {
  std::vector<std::string> names;
  policy::PolicyAction action;
  std::vector<Condition> conditions;
};

struct ActionText {
  std::string name;
  std::optional<std::int64_t> data;
};

ActionText ScmpAction(const policy::PolicyAction& action) {
  switch (action.verb) {
    case policy::Verb::kAllow:
      return {"SCMP_ACT_ALLOW", {}};
    case policy::Verb::kErrno:
      return {"SCMP_ACT_ERRNO", action.data};
    case policy::Verb::kKillProcess:
      return {"SCMP_ACT_KILL_PROCESS", {}};
    case policy::Verb::kKillThread:
      return {"SCMP_ACT_KILL_THREAD", {}};
    case policy::Verb::kTrap:
      return {"SCMP_ACT_TRAP", {}};
    case policy::Verb::kTrace:
      return {"SCMP_ACT_TRACE", action.data};
    case policy::Verb::kLog:
      return {"SCMP_ACT_LOG", {}};
    case policy::Verb::kNotify:
    case policy::Verb::kReturn:
    case policy::Verb::kAsk:
    case policy::Verb::kContinueUnchecked:
    case policy::Verb::kAsSupervisor:
    case policy::Verb::kLook:
      return {"SCMP_ACT_NOTIFY", {}};
  }
  return {};
}

bool IsEnosys(const policy::PolicyAction& action, abi::ArchId arch) {
  return action.verb == policy::Verb::kErrno &&
         action.data == static_cast<std::int64_t>(*abi::ErrnoValue(arch, "ENOSYS"));
}

// x32 with nothing but ENOSYS is what runc's stub makes of a profile without x32.
bool IsLeftToStub(const ExportInput& input, const ExportArch& arch) {
  if (arch.arch != abi::ArchId::kX32) return false;
  std::set<std::int32_t> numbers;
  for (const abi::Syscall& call : abi::SyscallsOf(arch.arch)) numbers.insert(call.nr);
  bool all_listed =
      arch.calls.size() == numbers.size() || IsEnosys(input.policy.default_action, arch.arch);
  return all_listed && std::ranges::all_of(arch.calls, [&](const Listed& call) {
           return call.Always() && IsEnosys(call.action, arch.arch);
         });
}

// The largest call that gets something else than ENOSYS; the stub answers for those above it.
// Multiplexed calls are no numbers to libseccomp.
const abi::Syscall* LargestNamed(const ExportArch& arch) {
  std::set<std::string, std::less<>> enosys;
  for (const Listed& call : arch.calls) {
    if (call.Always() && IsEnosys(call.action, arch.arch)) enosys.insert(call.name);
  }
  const abi::Syscall* largest = nullptr;
  for (const abi::Syscall& call : abi::SyscallsOf(arch.arch)) {
    bool is_multiplexed = MultiplexerOf(abi::ArchOf(arch.arch), call.name).call != nullptr;
    if (!is_multiplexed && !enosys.contains(call.name)) largest = &call;
  }
  return largest;
}

bool HasStub(const ExportInput& input) {
  policy::Verb verb = input.policy.default_action.verb;
  return verb != policy::Verb::kAllow && verb != policy::Verb::kLog && verb != policy::Verb::kTrace;
}

// "Everything but one value" has its own comparison, which each ABI makes in its own width.
std::optional<Condition> NotEqual(const CubeSet& cubes, abi::ArchId arch) {
  auto rest = Subtract({Cube{}}, cubes);
  if (!rest || rest->size() != 1) return std::nullopt;
  const std::uint64_t all = abi::ArchOf(arch).bits == 64 ? UINT64_MAX : UINT32_MAX;
  std::optional<Condition> condition;
  for (std::size_t i = 0; i < 6; ++i) {
    if (rest->front().mask[i] == 0) continue;
    if (condition || rest->front().mask[i] != all) return std::nullopt;
    condition = {static_cast<int>(i), "SCMP_CMP_NE", rest->front().value[i], 0};
  }
  return condition;
}

ExportInput WithoutStub(const ExportInput& input) {
  ExportInput visible{input.policy, input.options, {}};
  for (const ExportArch& arch : input.arches) {
    if (!IsLeftToStub(input, arch)) visible.arches.push_back(arch);
  }
  return visible;
}

std::vector<Rule> RulesOf(const ExportInput& input) {
  std::vector<Rule> always, conditional;
  std::set<std::string> seen;
  auto add = [&](const Listed& call, abi::ArchId arch) {
    if (!seen.insert(call.name).second) return;
    if (call.Always()) {
      auto rule = std::ranges::find(always, call.action, &Rule::action);
      if (rule == always.end()) rule = always.insert(rule, {{}, call.action, {}});
      rule->names.push_back(call.name);
      return;
    }
    if (auto condition = NotEqual(call.cubes, arch)) {
      conditional.push_back({{call.name}, call.action, {*condition}});
      return;
    }
    for (const Cube& cube : call.cubes) {
      Rule rule{{call.name}, call.action, {}};
      for (int i = 0; i < 6; ++i) {
        std::uint64_t mask = cube.mask[static_cast<std::size_t>(i)];
        std::uint64_t value = cube.value[static_cast<std::size_t>(i)];
        if (mask == 0) continue;
        if (mask == UINT64_MAX) {
          rule.conditions.push_back({i, "SCMP_CMP_EQ", value, 0});
        } else {
          rule.conditions.push_back({i, "SCMP_CMP_MASKED_EQ", mask, value});
        }
      }
      conditional.push_back(std::move(rule));
    }
  };
  for (const ExportArch& arch : input.arches) {
    const abi::Syscall* largest = HasStub(input) ? LargestNamed(arch) : nullptr;
    for (const Listed& call : arch.calls) {
      const abi::Syscall* syscall = abi::FindSyscall(arch.arch, call.name);
      bool is_above = largest != nullptr && syscall != nullptr && syscall->nr > largest->nr;
      if (!is_above || MultiplexerOf(abi::ArchOf(arch.arch), call.name).call != nullptr) {
        add(call, arch.arch);
      }
    }
  }
  // The largest is named, if need be with the default's action: it says where the stub begins.
  for (const ExportArch& arch : input.arches) {
    const abi::Syscall* largest = HasStub(input) ? LargestNamed(arch) : nullptr;
    if (largest == nullptr) continue;
    add({std::string(largest->name), {Cube{}}, input.policy.default_action}, arch.arch);
  }
  for (Rule& rule : always) std::ranges::sort(rule.names);
  std::ranges::move(conditional, std::back_inserter(always));
  return always;
}

std::vector<std::string> ArchesOf(const ExportInput& input) {
  std::vector<std::string> names;
  for (const ExportArch& arch : input.arches) {
    std::string_view name = ScmpOfArch(arch.arch);
    if (!name.empty()) names.emplace_back(name);
  }
  return names;
}

std::string Quoted(const std::vector<std::string>& names, std::string_view separator) {
  std::string out;
  for (const std::string& name : names) {
    if (!out.empty()) out += separator;
    out += "\"" + name + "\"";
  }
  return out;
}

std::string JsonAction(std::string_view indent, std::string_view key, std::string_view data_key,
                       const policy::PolicyAction& action) {
  ActionText text = ScmpAction(action);
  std::string out = fmt::format("{}\"{}\": \"{}\"", indent, key, text.name);
  if (text.data) out += fmt::format(",\n{}\"{}\": {}", indent, data_key, *text.data);
  return out;
}

std::string JsonRules(const ExportInput& input) {
  std::string out;
  for (const Rule& rule : RulesOf(input)) {
    if (!out.empty()) out += ",\n";
    out += fmt::format("    {{\n      \"names\": [\n        {}\n      ],\n{}",
                       Quoted(rule.names, ",\n        "),
                       JsonAction("      ", "action", "errnoRet", rule.action));
    std::string args;
    for (const Condition& condition : rule.conditions) {
      if (!args.empty()) args += ",\n";
      args +=
          fmt::format("        {{\"index\": {}, \"value\": {}, \"valueTwo\": {}, \"op\": \"{}\"}}",
                      condition.index, condition.value, condition.value_two, condition.op);
    }
    if (!args.empty()) out += ",\n      \"args\": [\n" + args + "\n      ]";
    out += "\n    }";
  }
  return out;
}

std::string JsonListener(const ExportOptions& options) {
  if (options.listener.empty()) return "";
  return fmt::format("  \"listenerPath\": \"{}\",\n  \"listenerMetadata\": \"{}\",\n",
                     options.listener, options.name);
}

std::string Json(const ExportInput& input, const std::string& arches) {
  return fmt::format(
      "{{\n{},\n{},\n{}  \"syscalls\": [\n{}\n  ]\n}}\n",
      JsonAction("  ", "defaultAction", "defaultErrnoRet", input.policy.default_action), arches,
      JsonListener(input.options), JsonRules(input));
}

}  // namespace

std::string WriteOci(const ExportInput& all) {
  const ExportInput input = WithoutStub(all);
  return Json(input, fmt::format("  \"architectures\": [\n    {}\n  ]",
                                 Quoted(ArchesOf(input), ",\n    ")));
}

std::string WriteDocker(const ExportInput& all) {
  const ExportInput input = WithoutStub(all);
  std::vector<std::string> names = ArchesOf(input);
  std::string native = names.empty() ? "" : names.front();
  if (!names.empty()) names.erase(names.begin());
  return Json(input, fmt::format("  \"archMap\": [\n    {{\n      \"architecture\": \"{}\",\n"
                                 "      \"subArchitectures\": [{}]\n    }}\n  ]",
                                 native, Quoted(names, ", ")));
}

std::string WriteSpo(const ExportInput& all) {
  const ExportInput input = WithoutStub(all);
  auto action = [](std::string_view indent, std::string_view key, std::string_view data_key,
                   const policy::PolicyAction& what) {
    ActionText text = ScmpAction(what);
    std::string out = fmt::format("{}{}: {}\n", indent, key, text.name);
    std::string blanks(indent.size(), ' ');
    if (text.data) out += fmt::format("{}{}: {}\n", blanks, data_key, *text.data);
    return out;
  };
  std::string out = fmt::format(
      "apiVersion: security-profiles-operator.x-k8s.io/v1beta1\nkind: SeccompProfile\nmetadata:\n"
      "  name: {}\nspec:\n",
      input.options.name);
  out += action("  ", "defaultAction", "defaultErrnoRet", input.policy.default_action);
  out += "  architectures:\n";
  for (const std::string& name : ArchesOf(input)) out += "  - " + name + "\n";
  out += "  syscalls:\n";
  for (const Rule& rule : RulesOf(input)) {
    out += action("  - ", "action", "errnoRet", rule.action) + "    names:\n";
    for (const std::string& name : rule.names) out += "    - " + name + "\n";
    if (!rule.conditions.empty()) out += "    args:\n";
    for (const Condition& condition : rule.conditions) {
      out += fmt::format("    - index: {}\n      value: {}\n      valueTwo: {}\n      op: {}\n",
                         condition.index, condition.value, condition.value_two, condition.op);
    }
  }
  return out;
}

}  // namespace callgate::format
