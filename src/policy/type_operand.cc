#include "policy/type_operand.h"

#include <algorithm>

#include "base/nearest.h"

namespace callgate::policy {
namespace {

std::optional<std::uint8_t> RegisterNumber(std::string_view name) {
  if (name.size() != 4 || !name.starts_with("arg") || name[3] < '0' || name[3] > '5') {
    return std::nullopt;
  }
  return static_cast<std::uint8_t>(name[3] - '0');
}

Subject RegisterSubject(const TypeContext& context, std::uint8_t slot) {
  Subject subject;
  subject.operand.slot = slot;
  subject.operand.bits = abi::ArchOf(context.arch).bits;
  subject.operand.name = fmt::format("arg{}", slot);
  bool known = context.signature && slot < context.signature->size();
  if (known && (*context.signature)[slot].kind != abi::ArgKind::kUnused) {
    subject.argument = &(*context.signature)[slot];
    subject.operand.bits = subject.argument->bits;
    subject.operand.is_signed = subject.argument->is_signed;
  }
  return subject;
}

Subject NamedSubject(const abi::NamedArgument& named, std::string_view name) {
  Subject subject;
  subject.argument = named.argument;
  subject.operand.slot = named.slot;
  subject.operand.high_slot = named.high_slot;
  subject.operand.bits = named.bits;
  subject.operand.is_signed = named.is_signed;
  subject.operand.name = name;
  return subject;
}

// The one path among the arguments, if there is one.
std::optional<abi::NamedArgument> OnlyPath(const abi::Signature& signature) {
  std::optional<abi::NamedArgument> found;
  for (const abi::Argument& argument : signature) {
    if (argument.kind != abi::ArgKind::kPath) continue;
    if (found) return std::nullopt;
    found = abi::FindArgument(signature, argument.name);
  }
  return found;
}

void ReportUnknownArgument(const TypeContext& context, const ast::Test& test) {
  const std::string& name = test.field.front();
  std::vector<base::Note> notes;
  if (!context.signature) {
    notes.push_back(
        {fmt::format("the tables do not know the arguments of {}; use arg0 … arg5", context.call),
         {}});
  } else {
    base::NearestName nearest(name);
    for (const abi::Argument& argument : *context.signature) {
      nearest.Offer(argument.name);
      nearest.Offer(argument.pair_name);
    }
    if (auto best = nearest.Best()) notes.push_back({fmt::format("did you mean '{}'?", *best), {}});
    std::string names = ArgumentNames(context);
    notes.push_back({names.empty() ? fmt::format("{} has no arguments", context.call)
                                   : fmt::format("the arguments of {} are {}", context.call, names),
                     {}});
  }
  context.report.Error(test.field_span,
                       fmt::format("unknown argument '{}' of {}", name, context.call),
                       std::move(notes));
}

// `as u64`: overrides the tables, loudly.
bool ApplyType(const TypeContext& context, const ast::Test& test, Subject& subject) {
  struct Type {
    std::string_view name;
    std::uint8_t bits;
    bool is_signed;
  };
  static constexpr Type kTypes[] = {
      {"u32", 32, false}, {"s32", 32, true}, {"u64", 64, false}, {"s64", 64, true}};
  const auto* type = std::ranges::find(kTypes, test.as_type, &Type::name);
  if (type == std::end(kTypes)) {
    context.report.Error(test.as_span, fmt::format("unknown type '{}'", test.as_type),
                         {{"the types are u32, s32, u64 and s64", {}}});
    return false;
  }
  Operand& operand = subject.operand;
  std::uint8_t natural = operand.bits;
  operand.bits = type->bits;
  operand.is_signed = type->is_signed;
  // 32 bits of a joined pair are its low register.
  if (type->bits == 32) operand.high_slot.reset();
  if (subject.argument == nullptr || natural == type->bits) return true;
  const std::string message = fmt::format("the kernel looks at {} bits of '{}', this at {}",
                                          natural, operand.name, type->bits);
  if (type->bits < natural) {
    context.report.Doubt(Report::Reason::kType, test.as_span, message,
                         "calls that differ in the other bits get the same verdict");
  } else if (abi::ArchOf(context.arch).bits == 64) {
    context.report.Doubt(Report::Reason::kType, test.as_span, message,
                         "the caller sets the other bits as it likes, without changing the call");
  }
  return true;
}

}  // namespace

bool IsPointer(abi::ArgKind kind) {
  switch (kind) {
    case abi::ArgKind::kPath:
    case abi::ArgKind::kString:
    case abi::ArgKind::kStringVector:
    case abi::ArgKind::kSockaddr:
    case abi::ArgKind::kStruct:
    case abi::ArgKind::kBuffer:
    case abi::ArgKind::kPointer:
      return true;
    case abi::ArgKind::kInteger:
    case abi::ArgKind::kFd:
    case abi::ArgKind::kDirFd:
    case abi::ArgKind::kFlags:
    case abi::ArgKind::kEnum:
    case abi::ArgKind::kMode:
    case abi::ArgKind::kDev:
    case abi::ArgKind::kPid:
    case abi::ArgKind::kId:
    case abi::ArgKind::kSignal:
    case abi::ArgKind::kAddress:
    case abi::ArgKind::kVariant:
    case abi::ArgKind::kLowHalf:
    case abi::ArgKind::kHighHalf:
    case abi::ArgKind::kUnused:
      return false;
  }
  return false;
}

namespace {

template <typename Wanted>
std::string NamesOf(const TypeContext& context, Wanted wanted) {
  std::string names;
  if (!context.signature) return names;
  auto add = [&](std::string_view name) {
    if (!names.empty()) names += ", ";
    names += name;
  };
  for (std::size_t i = 0; i < context.signature->size(); ++i) {
    const abi::Argument& argument = (*context.signature)[i];
    if (argument.kind == abi::ArgKind::kUnused || !wanted(argument.kind)) continue;
    if (argument.partner < 0) {
      add(argument.name);
    } else if (static_cast<std::size_t>(argument.partner) > i) {
      add(argument.pair_name);
    }
  }
  return names;
}

}  // namespace

std::string ArgumentNames(const TypeContext& context) {
  return NamesOf(context, [](abi::ArgKind) { return true; });
}

std::string RegisterNames(const TypeContext& context) {
  return NamesOf(context, [](abi::ArgKind kind) { return !IsPointer(kind); });
}

std::optional<Subject> TypeOperand(const TypeContext& context, const ast::Test& test) {
  const std::string& name = test.field.front();
  Subject subject;
  if (name == "ip") {
    subject.operand.field = Operand::Field::kInstructionPointer;
    subject.operand.name = "ip";
    subject.shown = "the instruction pointer";
  } else if (auto slot = RegisterNumber(name)) {
    subject = RegisterSubject(context, *slot);
    subject.shown = fmt::format("register '{}' of {}", name, context.call);
    if (context.signature && *slot >= context.signature->size()) {
      context.report.Doubt(Report::Reason::kRegister, test.field_span,
                           fmt::format("{} has {} arguments; '{}' is not one of them", context.call,
                                       context.signature->size(), name),
                           "the register holds whatever the caller left in it");
    } else {
      context.report.Clear(Report::Reason::kRegister, test.field_span);
    }
  } else {
    std::optional<abi::NamedArgument> named;
    if (context.signature) {
      named = abi::FindArgument(*context.signature, name);
      if (!named && name == "path") named = OnlyPath(*context.signature);
    }
    if (!named) {
      ReportUnknownArgument(context, test);
      return std::nullopt;
    }
    subject = NamedSubject(*named, name);
    subject.shown = fmt::format("argument '{}' of {}", name, context.call);
  }
  if (!test.as_type.empty() && !ApplyType(context, test, subject)) return std::nullopt;
  return subject;
}

}  // namespace callgate::policy
