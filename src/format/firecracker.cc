// seccompiler JSON as Firecracker uses it: one filter for each kind of thread.
//
// A rule with arguments matches if all of them do; of several rules for a call any may match. A
// `dword` is the low 32 bits of a register, a `qword` all 64. The compiled filter kills the process
// for any other ABI; it does not know x32, whose numbers match no rule and get the default.

#include <algorithm>

#include "fmt/format.h"
#include "format/reading.h"

namespace callgate::format {
namespace {

class FirecrackerReader {
 public:
  explicit FirecrackerReader(Reading& reading) : reading_(reading), arch_(reading.Native()) {}

  std::optional<Foreign> Run(const Tree& filter) {
    Field field{reading_, filter};
    const Tree* rules = field.Get("filter", Tree::Kind::kList);
    auto default_action = ReadAction(filter, "default_action");
    auto filter_action = ReadAction(filter, "filter_action");
    if (!field.ok || !default_action || !filter_action) return std::nullopt;
    if (rules == nullptr) return reading_.Fail(filter.span, "this filter has no 'filter'");
    if (*default_action == *filter_action) {
      return reading_.Fail(filter.Find("filter_action")->span,
                           "'filter_action' and 'default_action' are the same",
                           "seccompiler refuses such a filter");
    }
    for (const Tree& rule : rules->items) {
      if (!ReadRule(rule)) return std::nullopt;
    }
    Foreign foreign;
    foreign.default_action = *default_action;
    ForeignArch arch{arch_, {}};
    for (auto& [nr, rules_of_call] : calls_) {
      arch.bodies[nr].Add(Any(nr, rules_of_call), *filter_action);
    }
    foreign.arches.push_back(std::move(arch));
    if (arch_ == abi::ArchId::kX86_64) foreign.arches.push_back({abi::ArchId::kX32, {}});
    return foreign;
  }

 private:
  struct Rule {
    bool conditional = false;
    Predicate predicate = Predicate::True();
  };

  std::optional<std::string> ReadAction(const Tree& map, std::string_view key) {
    const Tree* action = map.Find(key);
    if (action == nullptr) {
      return Fail({map.span.file, map.span.begin, map.span.begin + 1},
                  fmt::format("this filter has no '{}'", key));
    }
    static constexpr std::pair<std::string_view, std::string_view> kWords[] = {
        {"allow", "allow"},      {"kill_process", "kill"}, {"kill_thread", "kill_thread"},
        {"kill", "kill_thread"}, {"log", "log"},           {"trap", "trap(0)"}};
    for (const auto& [word, policy] : kWords) {
      if (action->kind == Tree::Kind::kString && action->text == word) return std::string(policy);
    }
    if (action->kind == Tree::Kind::kMap && action->entries.size() == 1) {
      const Tree::Entry& entry = action->entries.front();
      if (entry.key == "errno" || entry.key == "trace") {
        auto number = TreeNumber(reading_, entry.value);
        if (!number) return std::nullopt;
        return entry.key == "errno" ? ErrnoAction(arch_, *number)
                                    : fmt::format("trace({})", *number & 0xFFFFU);
      }
    }
    return Fail(action->span, fmt::format("unknown action in '{}'", key),
                "they are allow, kill_process, kill_thread, log, trap, {\"errno\": N} and "
                "{\"trace\": N}");
  }

  std::nullopt_t Fail(base::Span span, std::string message, std::string hint = {}) {
    return reading_.Fail(span, std::move(message), std::move(hint));
  }

  bool ReadRule(const Tree& tree) {
    Field field{reading_, tree};
    const Tree* name = field.Get("syscall", Tree::Kind::kString);
    const Tree* args = field.Get("args", Tree::Kind::kList);
    if (!field.ok) return false;
    if (tree.kind != Tree::Kind::kMap || name == nullptr) {
      Fail(tree.span, "this rule has no 'syscall'");
      return false;
    }
    const abi::Syscall* call = abi::FindSyscall(arch_, name->text);
    if (call == nullptr) {
      bool known = abi::IsKnownSyscallName(name->text);
      Fail(name->span,
           known ? fmt::format("{} does not exist on {}", name->text, abi::ArchOf(arch_).name)
                 : fmt::format("unknown system call '{}'", name->text.substr(0, 60)),
           known ? "name the machine with --arch" : NearestCall(name->text));
      return false;
    }
    Rule rule;
    if (args != nullptr) {
      rule.conditional = true;
      for (const Tree& arg : args->items) {
        auto test = ReadCondition(arg, call->nr);
        if (!test) return false;
        rule.predicate = And(std::move(rule.predicate), *test);
      }
    }
    calls_[call->nr].push_back(std::move(rule));
    return true;
  }

  std::optional<Predicate> ReadCondition(const Tree& arg, std::int32_t nr) {
    if (arg.kind != Tree::Kind::kMap) return Fail(arg.span, "an argument must be an object");
    Field field{reading_, arg};
    auto index = field.Number("index");
    auto value = field.Number("val");
    std::string type = field.Text("type");
    const Tree* op = arg.Find("op");
    if (!field.ok) return std::nullopt;
    if (!index || !value || op == nullptr) {
      return Fail(arg.span, "an argument needs 'index', 'type', 'op' and 'val'");
    }
    if (*index > 5) {
      return Fail(arg.Find("index")->span,
                  fmt::format("there is no argument {}: they are 0 to 5", *index));
    }
    if (type != "dword" && type != "qword") {
      return Fail(arg.span, fmt::format("unknown type '{}'", type.substr(0, 40)),
                  "they are dword and qword");
    }
    Comparison comparison{.index = static_cast<int>(*index), .bits = type == "dword" ? 32 : 64};
    comparison.value = type == "dword" ? *value & UINT32_MAX : *value;
    static constexpr std::pair<std::string_view, Relation> kRelations[] = {
        {"eq", Relation::kEq}, {"ne", Relation::kNe}, {"lt", Relation::kLt},
        {"le", Relation::kLe}, {"gt", Relation::kGt}, {"ge", Relation::kGe}};
    for (const auto& [name, relation] : kRelations) {
      if (op->kind != Tree::Kind::kString || op->text != name) continue;
      comparison.relation = relation;
      return Compare(arch_, nr, comparison);
    }
    if (op->kind == Tree::Kind::kMap && op->entries.size() == 1 &&
        op->entries.front().key == "masked_eq") {
      auto mask = TreeNumber(reading_, op->entries.front().value);
      if (!mask) return std::nullopt;
      comparison.mask = *mask;
      comparison.value &= *mask;
      return Compare(arch_, nr, comparison);
    }
    return Fail(op->span, "unknown comparison",
                "they are eq, ne, lt, le, gt, ge and {\"masked_eq\": MASK}");
  }

  Predicate Any(std::int32_t nr, const std::vector<Rule>& rules) {
    bool some = std::ranges::any_of(rules, &Rule::conditional);
    bool all = std::ranges::all_of(rules, &Rule::conditional);
    if (some && !all) {
      reading_.Note(
          fmt::format("{}: a rule without arguments beside rules with some: seccompiler "
                      "takes the conditions alone, and so does the policy; Firecracker "
                      "built on libseccomp would allow the call whatever its arguments",
                      abi::FindSyscall(arch_, nr)->name));
    }
    Predicate any = some ? Predicate::False() : Predicate::True();
    for (const Rule& rule : rules) {
      if (rule.conditional) any = Or(std::move(any), rule.predicate);
    }
    return any;
  }

  Reading& reading_;
  abi::ArchId arch_;
  std::map<std::int32_t, std::vector<Rule>> calls_;
};

}  // namespace

std::optional<Foreign> ReadFirecracker(Reading& reading) {
  auto tree = ReadJson(reading.sources, reading.file, reading.diagnostics);
  if (!tree) return std::nullopt;
  if (tree->kind != Tree::Kind::kMap || tree->entries.empty()) {
    return reading.Fail(tree->span, "a file of seccompiler is an object of filters");
  }
  std::string names;
  for (const Tree::Entry& entry : tree->entries) {
    names += (names.empty() ? "" : ", ") + entry.key;
  }
  const Tree* filter = nullptr;
  if (!reading.options.member.empty()) {
    filter = tree->Find(reading.options.member);
    if (filter == nullptr) {
      return reading.Fail({reading.file, 0, 0},
                          fmt::format("there is no thread '{}'", reading.options.member),
                          "the file has " + names);
    }
  } else if (tree->entries.size() > 1) {
    return reading.Fail(tree->entries[1].key_span,
                        "the file has a filter for each of several threads",
                        "choose one with 'callgate import --name': " + names);
  } else {
    filter = &tree->entries.front().value;
  }
  if (filter->kind != Tree::Kind::kMap) {
    return reading.Fail(filter->span, "a filter must be an object");
  }
  return FirecrackerReader(reading).Run(*filter);
}

}  // namespace callgate::format
