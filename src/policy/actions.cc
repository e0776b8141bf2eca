#include "policy/actions.h"

#include <array>
#include <cctype>
#include <string_view>

#include "abi/constants.h"
#include "base/nearest.h"
#include "fmt/format.h"
#include "policy/print.h"

namespace callgate::policy {
namespace {

struct ActionName {
  std::string_view name;
  Verb verb;
  std::int64_t data;
  std::int64_t max_argument;  // -1: takes none
  std::string_view argument;
};

// SECCOMP_RET_DATA is 16 bits; the kernel clamps errno to MAX_ERRNO (kernel/seccomp.c).
constexpr std::array<ActionName, 13> kActions{{
    {"allow", Verb::kAllow, 0, -1, ""},
    {"deny", Verb::kErrno, 1, -1, ""},  // EPERM is 1 on every ABI
    {"errno", Verb::kErrno, 0, 4095, "errno(EPERM)"},
    {"kill", Verb::kKillProcess, 0, -1, ""},
    {"kill_thread", Verb::kKillThread, 0, -1, ""},
    {"trap", Verb::kTrap, 0, 65535, "trap(0)"},
    {"trace", Verb::kTrace, 0, 65535, "trace(0)"},
    {"log", Verb::kLog, 0, -1, ""},
    {"notify", Verb::kNotify, 0, -1, ""},
    {"return", Verb::kReturn, 0, INT64_MAX, "return(0)"},
    {"ask", Verb::kAsk, 0, -1, ""},
    {"continue_unchecked", Verb::kContinueUnchecked, 0, -1, ""},
    {"as_supervisor", Verb::kAsSupervisor, 0, -1, ""},
}};

std::optional<std::int64_t> TypeArgument(const ActionName& known, const ast::Action& action,
                                         abi::ArchId arch, Report& report) {
  const ast::Value& value = action.argument;
  const ast::Term& term = value.terms.front();
  bool is_errno = known.verb == Verb::kErrno;
  bool one_number = value.terms.size() == 1 && term.kind == ast::Term::Kind::kNumber;
  if (is_errno && value.terms.size() == 1 && term.kind == ast::Term::Kind::kName) {
    if (auto number = abi::ErrnoValue(arch, term.text)) return *number;
    base::NearestName nearest(term.text);
    for (const abi::Constant& constant : abi::ConstantsOf(arch, "errno")) {
      nearest.Offer(constant.name);
    }
    std::vector<base::Note> notes;
    if (auto best = nearest.Best()) notes.push_back({fmt::format("did you mean '{}'?", *best), {}});
    report.Error(term.span,
                 fmt::format("'{}' is not an error name of {}", term.text, abi::ArchOf(arch).name),
                 std::move(notes));
    return std::nullopt;
  }
  if (!one_number) {
    report.Error(value.span, fmt::format("{} takes {}", known.name,
                                         is_errno ? "an error name or a number" : "a number"));
    return std::nullopt;
  }
  bool any_sign = known.max_argument == INT64_MAX;
  bool fits = any_sign || (!term.is_negative && term.number <= std::uint64_t(known.max_argument));
  if (!fits) {
    std::vector<base::Note> notes;
    if (is_errno && term.is_negative) notes.push_back({"error numbers are positive", {}});
    report.Error(value.span,
                 fmt::format("{}({}) is out of range: the number is 0 to {}", known.name,
                             Print(value), known.max_argument),
                 std::move(notes));
    return std::nullopt;
  }
  return static_cast<std::int64_t>(term.number);
}

}  // namespace

std::optional<PolicyAction> TypeAction(const ast::Action& action, abi::ArchId arch,
                                       Report& report) {
  base::NearestName nearest(action.name);
  const ActionName* known = nullptr;
  for (const ActionName& candidate : kActions) {
    if (candidate.name == action.name) known = &candidate;
    nearest.Offer(candidate.name);
  }
  if (known == nullptr) {
    std::vector<base::Note> notes;
    std::string upper = action.name;
    for (char& c : upper) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    if (abi::ErrnoValue(arch, upper)) {
      notes.push_back({fmt::format("write errno({})", upper), {}});
    } else if (auto best = nearest.Best()) {
      notes.push_back({fmt::format("did you mean '{}'?", *best), {}});
    } else {
      notes.push_back(
          {"the actions are allow, deny, errno(NAME), kill, kill_thread, trap(N), "
           "trace(N), log, notify, ask, return(N), continue_unchecked, as_supervisor",
           {}});
    }
    report.Error(action.span, fmt::format("unknown action '{}'", action.name), std::move(notes));
    return std::nullopt;
  }
  PolicyAction result{known->verb, known->data};
  bool has_argument = !action.argument.terms.empty();
  if (has_argument && known->max_argument < 0) {
    report.Error(action.argument.span, fmt::format("'{}' takes no argument", known->name));
    return std::nullopt;
  }
  if (!has_argument && known->max_argument >= 0) {
    report.Error(action.span, fmt::format("'{}' needs an argument", known->name),
                 {{fmt::format("for instance {}", known->argument), {}}});
    return std::nullopt;
  }
  if (has_argument) {
    auto data = TypeArgument(*known, action, arch, report);
    if (!data) return std::nullopt;
    result.data = *data;
  }
  return result;
}

}  // namespace callgate::policy
