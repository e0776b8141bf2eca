#include "policy/suggest.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <vector>

#include "abi/constants.h"
#include "abi/groups.h"
#include "abi/syscalls.h"
#include "fmt/format.h"
#include "policy/call_text.h"
#include "policy/evaluate.h"

namespace callgate::policy {
namespace {

// A suggestion must be true (the line allows the call) and small (it allows little else). For a
// call without a rule that is its name. For a call whose rule did not match it is one clause with
// an equality for each thing the rule's tests look at: the author has said these matter. Signed and
// joined operands keep their value; a masked test becomes the same mask with the call's bits.

constexpr std::size_t kShownMembers = 6;

struct Look {
  Operand operand;
  std::uint64_t mask;
};

std::uint64_t AllBits(const Operand& operand) {
  return operand.bits >= 64 ? UINT64_MAX : (std::uint64_t{1} << operand.bits) - 1;
}

void CollectLooks(const Expr& expr, std::vector<Look>& looks) {
  if (expr.kind == Expr::Kind::kDeep) return;
  for (const Expr& child : expr.children) CollectLooks(child, looks);
  if (expr.kind != Expr::Kind::kCompare && expr.kind != Expr::Kind::kIn) return;
  std::uint64_t mask = expr.mask & AllBits(expr.operand);
  // Signedness is dropped: an equality means the same, and masked tests have none.
  Operand operand = expr.operand;
  for (Look& look : looks) {
    bool same = look.operand.field == operand.field && look.operand.slot == operand.slot &&
                look.operand.high_slot == operand.high_slot && look.operand.bits == operand.bits;
    if (!same) continue;
    look.mask |= mask;
    look.operand.is_signed |= operand.is_signed;
    return;
  }
  looks.push_back({operand, mask});
}

const abi::Argument* ArgumentOf(const Operand& operand,
                                const std::optional<abi::Signature>& known) {
  if (operand.field != Operand::Field::kArgument || !known) return nullptr;
  return operand.slot < known->size() ? &(*known)[operand.slot] : nullptr;
}

// A literal that the type checker reads back as the same bits.
std::string Literal(abi::ArchId arch, const abi::Argument* argument, std::uint64_t value,
                    const Operand& operand) {
  auto is_word = [](const std::string& text) {
    return !text.empty() && text.find_first_of("()<> ") == std::string::npos;
  };
  std::string text;
  std::uint64_t bits = value & AllBits(operand);
  bool same_width = argument != nullptr && (operand.bits == argument->bits || argument->bits < 32);
  if (same_width) {
    if (argument->kind == abi::ArgKind::kFlags && bits != 0) {
      text = abi::FormatFlags(arch, argument->set, bits);
    } else if (argument->kind == abi::ArgKind::kEnum) {
      text = abi::FormatEnum(arch, argument->set, argument->flags_set, bits);
    } else if (argument->kind == abi::ArgKind::kMode) {
      text = fmt::format("0o{:o}", bits);
    } else if (argument->kind == abi::ArgKind::kSignal) {
      text = abi::NameOfValue(arch, "signo", bits).value_or("");
    }
  }
  if (is_word(text)) return text;
  bool negative = operand.is_signed && static_cast<std::int64_t>(value) < 0;
  if (negative) return fmt::format("{}", static_cast<std::int64_t>(value));
  return bits < 65536 ? fmt::format("{}", bits) : fmt::format("{:#x}", bits);
}

// The bits the language compares when the operand is named without `as`. A 16-bit argument is typed
// as a masked word of 32.
std::uint64_t NaturalBits(const Look& look, const std::optional<abi::Signature>& signature) {
  auto named = signature ? abi::FindArgument(*signature, look.operand.name) : std::nullopt;
  const abi::Argument* argument = ArgumentOf(look.operand, signature);
  Operand natural = look.operand;
  if (look.operand.field == Operand::Field::kArgument) {
    if (named) {
      natural.bits = named->bits;
    } else if (argument != nullptr) {
      natural.bits = argument->bits;
    }
  }
  return AllBits(natural);
}

// How a policy names the operand: the author's word, with the type the author gave it.
std::string Name(const Look& look, std::uint64_t natural) {
  bool narrow = natural < UINT32_MAX && look.operand.bits == 32 && (look.mask & ~natural) == 0;
  if (natural == AllBits(look.operand) || narrow) return look.operand.name;
  return fmt::format("{} as {}{}", look.operand.name, look.operand.is_signed ? 's' : 'u',
                     look.operand.bits);
}

std::string EqualityOf(const Look& look, abi::ArchId arch,
                       const std::optional<abi::Signature>& signature, const abi::Call& call) {
  std::uint64_t value = ValueOf(look.operand, call);
  const abi::Argument* argument = ArgumentOf(look.operand, signature);
  std::uint64_t natural = NaturalBits(look, signature);
  std::string name = Name(look, natural);
  bool plain = name == look.operand.name;
  std::uint64_t whole = plain ? natural : AllBits(look.operand);
  // `only` looks at all the other bits: naming them would say less clearly what equality says.
  bool most = std::popcount(look.mask) * 2 > std::popcount(whole);
  if (most || (look.mask & whole) == whole) {
    bool keeps_sign = look.operand.is_signed && whole == AllBits(look.operand);
    return fmt::format("{} == {}", name,
                       Literal(arch, argument, keeps_sign ? value : value & whole, look.operand));
  }
  Operand pattern = look.operand;
  pattern.is_signed = false;
  std::string mask = Literal(arch, argument, look.mask, pattern);
  if (mask.find('|') != std::string::npos) mask = "(" + mask + ")";
  return fmt::format("{} & {} == {}", name, mask,
                     Literal(arch, argument, value & look.mask, pattern));
}

// The first comparison that is false though its clause needs it.
const Expr* FindFailure(const Expr& expr, const abi::Call& call) {
  if (expr.kind == Expr::Kind::kAnd || expr.kind == Expr::Kind::kOr) {
    for (const Expr& child : expr.children) {
      if (const Expr* failure = FindFailure(child, call)) return failure;
    }
    return nullptr;
  }
  if (expr.kind == Expr::Kind::kConstant) return nullptr;
  return Holds(expr, call) == false ? &expr : nullptr;
}

std::string DescribeFailure(const Rule& rule, abi::ArchId arch,
                            const std::optional<abi::Signature>& signature, const abi::Call& call,
                            const base::SourceMap& sources) {
  for (const ClauseList& list : rule.lists) {
    for (const Clause& clause : list.clauses) {
      bool allows = clause.action.verb == Verb::kAllow || clause.action.verb == Verb::kLog;
      const Expr* failure = allows ? FindFailure(clause.predicate, call) : nullptr;
      if (failure == nullptr || !failure->span.valid()) continue;
      const Expr* test = failure;
      while (test->kind == Expr::Kind::kNot) test = &test->children.front();
      std::string text(sources.text(failure->span));
      if (test->kind != Expr::Kind::kCompare && test->kind != Expr::Kind::kIn) {
        return fmt::format("{} fails", text);
      }
      const abi::Argument* argument = ArgumentOf(test->operand, signature);
      return fmt::format("{} fails: {} is {}", text, test->operand.name,
                         Literal(arch, argument, ValueOf(test->operand, call), test->operand));
    }
  }
  return "";
}

std::string GroupNote(std::string_view call) {
  const abi::Group* group = abi::SmallestGroupWith(call);
  if (group == nullptr) return "";
  std::string note = fmt::format("{}:", group->name);
  std::size_t shown = 0;
  for (std::string_view member : group->members) {
    if (shown++ == kShownMembers && group->members.size() > kShownMembers + 1) return note + " …";
    note += fmt::format(" {}", member);
  }
  return note;
}

// The name a rule needs: with its ABI where the policy's other ABIs lack the call.
std::string EventName(const TypedPolicy& policy, abi::ArchId arch, std::string_view name) {
  if (name.starts_with("nr(") && policy.arches.size() == 1) return std::string(name);
  bool everywhere = std::ranges::all_of(policy.arches, [&](const ArchPolicy& other) {
    return abi::FindSyscall(other.arch, name) != nullptr;
  });
  return everywhere ? std::string(name) : fmt::format("{}.{}", abi::ArchOf(arch).name, name);
}

Suggestion SuggestForRule(const TypedPolicy& policy, const abi::Call& call, const Verdict& verdict,
                          const base::SourceMap& sources) {
  const Rule& rule = *verdict.rule;
  bool looks = std::ranges::any_of(rule.lists, [](const ClauseList& list) {
    return std::ranges::any_of(list.clauses,
                               [](const Clause& clause) { return LooksDeep(clause.predicate); });
  });
  // What stands behind the registers is not here to be quoted.
  if (looks) return {};
  auto signature = abi::SignatureOf(*verdict.arch, rule.syscall);
  std::string name = EventName(policy, *verdict.arch, rule.syscall);
  std::string clause = ClauseAllowing(rule, *verdict.arch, call);
  if (rule.lists.size() > 1) {
    return {"", fmt::format("{} is narrowed by `restrict`; every such rule must allow the call",
                            rule.syscall)};
  }
  if (verdict.reason == Reason::kClause) {
    return {fmt::format("{}: {}; …", name, clause),
            fmt::format("the clause at {} says {}", sources.LineLabel(verdict.span),
                        ToString(verdict.action, *verdict.arch))};
  }
  return {clause == "1" ? fmt::format("{}: 1", name) : fmt::format("{}: …; {}", name, clause),
          DescribeFailure(rule, *verdict.arch, signature, call, sources)};
}

}  // namespace

std::string ClauseAllowing(const Rule& rule, abi::ArchId arch, const abi::Call& call) {
  auto signature = abi::SignatureOf(arch, rule.syscall);
  std::vector<Look> looks;
  for (const ClauseList& list : rule.lists) {
    for (const Clause& clause : list.clauses) CollectLooks(clause.predicate, looks);
  }
  std::string text;
  for (const Look& look : looks) {
    if (!text.empty()) text += " && ";
    text += EqualityOf(look, arch, signature, call);
  }
  return text.empty() ? "1" : text;
}

Suggestion Suggest(const TypedPolicy& policy, const abi::Call& call, const Verdict& verdict,
                   const base::SourceMap& sources) {
  if (verdict.action.verb == Verb::kAllow || verdict.action.verb == Verb::kLog) return {};
  const abi::Syscall* known = verdict.arch ? abi::FindSyscall(*verdict.arch, call.nr) : nullptr;
  switch (verdict.reason) {
    case Reason::kBadArch: {
      if (!verdict.arch) return {"", "no ABI that callgate knows makes this call"};
      std::string arches;
      for (const ArchPolicy& arch : policy.arches) {
        arches += fmt::format("{}, ", abi::ArchOf(arch.arch).name);
      }
      std::string_view added = abi::ArchOf(*verdict.arch).name;
      return {fmt::format("arch: {}{}", arches, added),
              fmt::format("the call came over the {} ABI; its calls need rules too", added)};
    }
    case Reason::kUnknown:
      if (known == nullptr) return {"", fmt::format("no call has number {}", call.nr)};
      return {EventName(policy, *verdict.arch, known->name),
              fmt::format("since Linux {}, newer than as_of", abi::ToString(*known->since))};
    case Reason::kNoRule:
      return {EventName(policy, *verdict.arch, known->name), GroupNote(known->name)};
    case Reason::kLook:
      return {};
    case Reason::kNoMatch:
    case Reason::kClause:
      return SuggestForRule(policy, call, verdict, sources);
  }
  return {};
}

}  // namespace callgate::policy
