#include <algorithm>
#include <charconv>

#include "base/diagnostic.h"
#include "base/nearest.h"
#include "base/source.h"
#include "fmt/format.h"
#include "policy/call_text.h"
#include "policy/cursor.h"
#include "policy/parse_expr.h"
#include "policy/type_context.h"
#include "policy/type_value.h"

namespace callgate::policy {
namespace {

// The shape `name(a, b, …)` is read by hand, because `*` and `name=` are not part of the policy
// language; each argument is then a value of that language, typed as a policy would type it.

std::string_view Trim(std::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

base::Result<CallPattern> Fail(std::string_view text, std::string reason, std::string advice = {}) {
  return base::Fail({.operation = "read the call",
                     .subject = fmt::format("'{}'", text),
                     .reason = std::move(reason),
                     .advice = std::move(advice)});
}

// Splits at commas outside quotes and brackets. nullopt: unbalanced.
std::optional<std::vector<std::string_view>> SplitArguments(std::string_view text) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  int depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char c = text[i];
    if (c == '"' && (i == 0 || text[i - 1] != '\\')) quoted = !quoted;
    if (quoted) continue;
    if (c == '(') ++depth;
    if (c == ')' && --depth < 0) return std::nullopt;
    if (c == ',' && depth == 0) {
      parts.push_back(Trim(text.substr(begin, i - begin)));
      begin = i + 1;
    }
  }
  if (quoted || depth != 0) return std::nullopt;
  std::string_view last = Trim(text.substr(begin));
  if (!last.empty() || !parts.empty()) parts.push_back(last);
  return parts;
}

struct Position {
  std::string name;
  std::uint8_t slot = 0;
  std::optional<std::uint8_t> high_slot;
  const abi::Argument* argument = nullptr;
  std::uint8_t bits = 64;
  bool is_signed = false;
};

// The arguments in the order a reader counts them.
std::vector<Position> PositionsOf(abi::ArchId arch,
                                  const std::optional<abi::Signature>& signature) {
  std::vector<Position> positions;
  if (!signature) {
    for (std::uint8_t slot = 0; slot < 6; ++slot) {
      positions.push_back({.name = fmt::format("arg{}", slot),
                           .slot = slot,
                           .high_slot = {},
                           .bits = abi::ArchOf(arch).bits});
    }
    return positions;
  }
  for (std::size_t slot = 0; slot < signature->size(); ++slot) {
    const abi::Argument& argument = (*signature)[slot];
    bool is_second_half = argument.partner >= 0 && std::size_t(argument.partner) < slot;
    if (argument.kind == abi::ArgKind::kUnused || is_second_half) continue;
    std::string_view name = argument.partner >= 0 ? argument.pair_name : argument.name;
    if (auto found = abi::FindArgument(*signature, name)) {
      positions.push_back({.name = std::string(name),
                           .slot = found->slot,
                           .high_slot = found->high_slot,
                           .argument = found->argument,
                           .bits = found->bits,
                           .is_signed = found->is_signed});
    }
  }
  return positions;
}

base::Result<std::uint64_t> ReadValue(std::string_view text, abi::ArchId arch,
                                      std::string_view call, const Position& position) {
  if (text == "NULL") return 0;
  // A register holds what the caller put there, whatever its argument's type: a number in
  // hexadecimal is taken as it stands.
  if (text.starts_with("0x")) {
    std::uint64_t bits = 0;
    auto [end, error] = std::from_chars(text.data() + 2, text.data() + text.size(), bits, 16);
    if (error == std::errc() && end == text.data() + text.size()) return bits;
  }
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  base::FileId file = sources.Add("call", std::string(text));
  TokenList tokens = Lex(sources, file, diagnostics);
  Cursor cursor(sources, file, tokens, diagnostics);
  std::optional<ast::Value> value = ParseValue(cursor);
  if (value && !cursor.AtEndOfStatement()) {
    cursor.FailExpected("',' or ')'");
    value.reset();
  }
  std::optional<std::uint64_t> bits;
  if (value) {
    Report report(diagnostics);
    Lets lets;
    TypeBudget budget;
    TypeContext context{.arch = arch,
                        .call = call,
                        .signature = {},
                        .lets = lets,
                        .statement = 0,
                        .report = report,
                        .budget = budget};
    Subject subject;
    subject.operand.bits = position.bits;
    subject.operand.is_signed = position.is_signed;
    subject.argument = position.argument;
    subject.shown = fmt::format("argument '{}' of {}", position.name, call);
    bits = TypeEqual(context, subject, *value);
  }
  if (bits && !diagnostics.HasErrors()) return *bits;
  const base::Diagnostic& first = diagnostics.all().front();
  return base::Fail({.operation = "read the argument",
                     .subject = fmt::format("'{}'", text),
                     .reason = first.message,
                     .advice = first.notes.empty() ? "" : first.notes.front().message});
}

void Store(const Position& position, std::uint64_t value, abi::ArchId arch, CallPattern& pattern) {
  // A 32-bit ABI has no upper halves; a 64-bit one gets the value as a C compiler passes it.
  std::uint64_t register_mask = abi::ArchOf(arch).bits == 64 ? UINT64_MAX : UINT32_MAX;
  if (position.high_slot) {
    pattern.call.args[position.slot] = value & UINT32_MAX;
    pattern.call.args[*position.high_slot] = value >> 32U;
    pattern.is_any[*position.high_slot] = false;
  } else {
    pattern.call.args[position.slot] = value & register_mask;
  }
  pattern.is_any[position.slot] = false;
}

base::Result<CallPattern> ParseName(std::string_view text, std::string_view name,
                                    abi::ArchId home) {
  CallPattern pattern;
  pattern.arch = home;
  pattern.is_any.fill(true);
  if (std::size_t dot = name.find('.'); dot != std::string_view::npos) {
    auto arch = abi::FindArch(name.substr(0, dot));
    if (!arch) return Fail(text, fmt::format("unknown ABI '{}'", name.substr(0, dot)));
    pattern.arch = *arch;
    name.remove_prefix(dot + 1);
  }
  if (name.starts_with("sys_") && name.size() > 4) name.remove_prefix(4);
  pattern.call.arch = abi::ArchOf(pattern.arch).audit_arch;
  if (const abi::Syscall* call = abi::FindSyscall(pattern.arch, name)) {
    pattern.call.nr = call->nr;
    return pattern;
  }
  // A bare number, and the spelling FormatCall gives to numbers without a name.
  std::string_view digits = name.starts_with("syscall_") ? name.substr(8) : name;
  auto [end, error] =
      std::from_chars(digits.data(), digits.data() + digits.size(), pattern.call.nr);
  if (error == std::errc() && end == digits.data() + digits.size()) return pattern;
  std::string arch_name(abi::ArchOf(pattern.arch).name);
  if (abi::IsKnownSyscallName(name)) {
    return Fail(text, fmt::format("{} does not exist on {}", name, arch_name),
                fmt::format("put the ABI in front: {}.{}",
                            abi::ArchOf(abi::ArchesWith(name).front()).name, name));
  }
  base::NearestName nearest(name);
  for (std::string_view known : abi::AllSyscallNames()) nearest.Offer(known);
  auto best = nearest.Best();
  return Fail(text, fmt::format("unknown system call '{}'", name),
              best ? fmt::format("did you mean '{}'?", *best) : "");
}

}  // namespace

base::Result<CallPattern> ParseCall(std::string_view text, abi::ArchId home) {
  std::string_view rest = Trim(text);
  std::size_t open = rest.find('(');
  std::string_view name = Trim(rest.substr(0, open));
  base::Result<CallPattern> pattern = ParseName(text, name, home);
  if (!pattern || open == std::string_view::npos) return pattern;
  if (rest.back() != ')') return Fail(text, "it does not end with ')'");
  auto parts = SplitArguments(rest.substr(open + 1, rest.size() - open - 2));
  if (!parts) return Fail(text, "brackets or quotes are not closed");

  const abi::Syscall* known = abi::FindSyscall(pattern->arch, pattern->call.nr);
  std::string_view call = known != nullptr ? known->name : name;
  std::optional<abi::Signature> signature;
  if (known != nullptr) signature = abi::SignatureOf(pattern->arch, known->name);
  std::vector<Position> positions = PositionsOf(pattern->arch, signature);
  if (parts->size() > positions.size()) {
    return Fail(text,
                fmt::format("{} has {} arguments, not {}", call, positions.size(), parts->size()));
  }
  for (std::size_t i = 0; i < parts->size(); ++i) {
    std::string_view part = (*parts)[i];
    Position position = positions[i];
    std::size_t equals = part.find('=');
    if (equals != std::string_view::npos && part.find('"') > equals) {
      std::string_view wanted = Trim(part.substr(0, equals));
      auto named = std::ranges::find_if(positions, [&](const Position& one) {
        return one.name == wanted || (one.argument != nullptr && one.argument->IsNamed(wanted));
      });
      if (named == positions.end()) {
        return Fail(text, fmt::format("{} has no argument '{}'", call, wanted));
      }
      position = *named;
      part = Trim(part.substr(equals + 1));
    }
    if (part == "*" || part.starts_with('"')) continue;
    if (part.empty()) return Fail(text, "an argument is empty", "write * for any value");
    base::Result<std::uint64_t> value = ReadValue(part, pattern->arch, call, position);
    if (!value) return base::Fail(value.error());
    Store(position, *value, pattern->arch, *pattern);
  }
  return pattern;
}

}  // namespace callgate::policy
