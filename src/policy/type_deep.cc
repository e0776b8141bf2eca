#include "policy/type_deep.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "abi/structs.h"
#include "base/nearest.h"
#include "policy/print.h"
#include "policy/type_operand.h"
#include "policy/type_value.h"

namespace callgate::policy {
namespace {

// What a field behind a register holds.
enum class DeepType : std::uint8_t { kNumber, kString, kPath, kAddress, kFileType };

struct DeepField {
  DeepType type = DeepType::kNumber;
  std::uint8_t bits = 64;     // kNumber
  std::string_view set = {};  // kNumber: constants
};

struct PseudoField {
  std::string_view name;
  DeepField field;
};
// A socket address has one layout a family; the language gives what policies ask for one name.
constexpr std::array<PseudoField, 5> kSockaddrFields{{
    {"family", {DeepType::kNumber, 16, "sock_family"}},
    {"port", {DeepType::kNumber, 16, {}}},
    {"ip", {DeepType::kAddress, 0, {}}},
    {"path", {DeepType::kPath, 0, {}}},
    {"abstract", {DeepType::kString, 0, {}}},
}};
constexpr std::array<PseudoField, 2> kFdFields{{
    {"path", {DeepType::kPath, 0, {}}},
    {"type", {DeepType::kFileType, 0, {}}},
}};
constexpr std::array<std::string_view, 10> kFileTypes{
    "file", "directory", "symlink", "socket", "pipe", "char", "block", "epoll", "eventfd", "other"};

std::string Dotted(const ast::Test& test) { return fmt::format("{}", fmt::join(test.field, ".")); }

template <typename Table>
std::optional<DeepField> FindPseudo(const TypeContext& context, const ast::Test& test,
                                    const Table& table, std::string_view what) {
  std::string field = fmt::format("{}", fmt::join(test.field.begin() + 1, test.field.end(), "."));
  base::NearestName nearest(field);
  std::string names;
  for (const PseudoField& known : table) {
    if (known.name == field) return known.field;
    nearest.Offer(known.name);
    names += names.empty() ? "" : ", ";
    names += known.name;
  }
  std::vector<base::Note> notes;
  if (auto best = nearest.Best()) notes.push_back({fmt::format("did you mean '{}'?", *best), {}});
  notes.push_back({fmt::format("its fields are {}", names), {}});
  context.report.Error(test.field_span, fmt::format("{} has no field '{}'", what, field),
                       std::move(notes));
  return std::nullopt;
}

std::optional<DeepField> FindStructField(const TypeContext& context, const ast::Test& test,
                                         const abi::Argument& argument) {
  std::string wanted = fmt::format("{}", fmt::join(test.field.begin() + 1, test.field.end(), "."));
  std::vector<abi::StructField> fields = abi::FieldsOf(context.arch, argument.struct_name);
  base::NearestName nearest(wanted);
  for (const abi::StructField& field : fields) {
    if (field.name == wanted) {
      DeepField found{DeepType::kNumber,
                      static_cast<std::uint8_t>(std::min<std::uint32_t>(field.size * 8, 64)),
                      {}};
      for (std::string_view prefix : {"flags:", "enum:"}) {
        if (field.kind.starts_with(prefix)) found.set = field.kind.substr(prefix.size());
      }
      return found;
    }
    nearest.Offer(field.name);
  }
  std::vector<base::Note> notes;
  if (auto best = nearest.Best()) notes.push_back({fmt::format("did you mean '{}'?", *best), {}});
  context.report.Error(
      test.field_span,
      fields.empty() ? fmt::format("the tables do not know the layout of struct {} on {}",
                                   argument.struct_name, abi::ArchOf(context.arch).name)
                     : fmt::format("struct {} has no field '{}'", argument.struct_name, wanted),
      std::move(notes));
  return std::nullopt;
}

std::optional<DeepField> FindField(const TypeContext& context, const ast::Test& test,
                                   const Subject& subject) {
  const abi::Argument* argument = subject.argument;
  abi::ArgKind kind = argument == nullptr ? abi::ArgKind::kInteger : argument->kind;
  bool has_field = test.field.size() > 1;
  if (kind == abi::ArgKind::kSockaddr && has_field) {
    return FindPseudo(context, test, kSockaddrFields, "a socket address");
  }
  if ((kind == abi::ArgKind::kFd || kind == abi::ArgKind::kDirFd) && has_field) {
    return FindPseudo(context, test, kFdFields, "a descriptor");
  }
  if (kind == abi::ArgKind::kStruct && has_field) return FindStructField(context, test, *argument);
  if (kind == abi::ArgKind::kPath && !has_field) return DeepField{DeepType::kPath, 0, {}};
  if (kind == abi::ArgKind::kString && !has_field) return DeepField{DeepType::kString, 0, {}};
  if (has_field) {
    context.report.Error(test.field_span, fmt::format("{} has no fields", subject.shown));
  } else {
    bool pointer = IsPointer(kind);
    context.report.Error(
        test.field_span,
        fmt::format("{} is {}; it cannot be compared with text", subject.shown,
                    pointer ? fmt::format("a {}", argument->c_type) : std::string("a number")));
  }
  return std::nullopt;
}

bool IsNetwork(const std::string& text) {
  std::size_t slash = text.find('/');
  std::string address = text.substr(0, slash);
  std::array<unsigned char, 16> bytes{};
  bool v6 = address.find(':') != std::string::npos;
  if (inet_pton(v6 ? AF_INET6 : AF_INET, address.c_str(), bytes.data()) != 1) return false;
  if (slash == std::string::npos) return true;
  unsigned prefix = 0;
  const char* end = text.data() + text.size();
  auto [rest, error] = std::from_chars(text.data() + slash + 1, end, prefix);
  return error == std::errc() && rest == end && prefix <= (v6 ? 128U : 32U);
}

// One value on the right, which is not a number.
bool CheckTerm(const TypeContext& context, const ast::Value& value, const DeepField& field,
               const std::string& name) {
  const ast::Term& term = value.terms.front();
  bool single = value.terms.size() == 1;
  std::string_view wanted;
  switch (field.type) {
    case DeepType::kNumber:
      return true;
    case DeepType::kString:
    case DeepType::kPath:
      if (single && term.kind == ast::Term::Kind::kString) return true;
      wanted = "a string in double quotes";
      break;
    case DeepType::kAddress:
      if (single && term.kind == ast::Term::Kind::kAddress) {
        if (IsNetwork(term.text)) return true;
        context.report.Error(term.span,
                             fmt::format("'{}' is not an IP address or network", term.text));
        return false;
      }
      wanted = "an IP address or network";
      break;
    case DeepType::kFileType:
      if (single && term.kind == ast::Term::Kind::kName &&
          std::ranges::find(kFileTypes, term.text) != kFileTypes.end()) {
        return true;
      }
      wanted = "file, directory, symlink, socket, pipe, char, block, epoll, eventfd or other";
      break;
  }
  if (single && term.kind == ast::Term::Kind::kName && context.KnowsLet(term.text)) {
    const ast::Let* let = context.FindLet(term.text, term.span);
    if (let == nullptr) return false;
    if (let->kind == ast::Let::Kind::kValue) return CheckTerm(context, let->value, field, name);
  }
  context.report.Error(value.span, fmt::format("'{}' is compared with {}", name, wanted));
  return false;
}

bool CheckOperator(const TypeContext& context, const ast::Test& test, const DeepField& field) {
  if (field.type == DeepType::kNumber) {
    if (test.op != ast::Operator::kGlob && test.op != ast::Operator::kUnder) return true;
  } else {
    switch (test.op) {
      case ast::Operator::kEqual:
      case ast::Operator::kNotEqual:
      case ast::Operator::kIn:
      case ast::Operator::kNotIn:
        if (test.mask.terms.empty()) return true;
        break;
      case ast::Operator::kGlob:
        if (field.type == DeepType::kPath || field.type == DeepType::kString) return true;
        break;
      case ast::Operator::kUnder:
        if (field.type == DeepType::kPath) return true;
        break;
      case ast::Operator::kNonZero:
      case ast::Operator::kLess:
      case ast::Operator::kLessEqual:
      case ast::Operator::kGreater:
      case ast::Operator::kGreaterEqual:
      case ast::Operator::kHas:
      case ast::Operator::kOnly:
        break;
    }
  }
  context.report.Error(test.field_span, fmt::format("'{}' cannot be tested this way", Dotted(test)),
                       {{"text has ==, !=, in and ~ (glob), paths also `under`; addresses and file "
                         "types have ==, != and in",
                         {}}});
  return false;
}

bool CheckRightSide(const TypeContext& context, const ast::Test& test, const Subject& subject,
                    const DeepField& field) {
  std::string name = Dotted(test);
  if (field.type == DeepType::kNumber) {
    abi::Argument described{};
    described.set = field.set;
    Subject number;
    number.operand.bits = field.bits;
    number.operand.name = name;
    number.argument = &described;
    number.shown = fmt::format("field '{}'", name);
    if (!test.mask.terms.empty() && !TypeMask(context, number, test.mask)) return false;
    if (!test.set.empty()) return TypeSet(context, number, test.set).has_value();
    if (test.op == ast::Operator::kNonZero) return true;
    return TypeMask(context, number, test.value).has_value();
  }
  if (test.set.empty()) return CheckTerm(context, test.value, field, name);
  bool ok = true;
  for (const ast::SetElement& element : test.set) {
    if (!element.high.terms.empty()) {
      context.report.Error(element.span, fmt::format("{} has no ranges", subject.shown));
      ok = false;
    } else if (!CheckTerm(context, element.low, field, name)) {
      ok = false;
    }
  }
  return ok;
}

bool IsText(const ast::Value& value) {
  return !value.terms.empty() && (value.terms.front().kind == ast::Term::Kind::kString ||
                                  value.terms.front().kind == ast::Term::Kind::kAddress);
}

}  // namespace

bool IsDeep(const TypeContext& context, const ast::Test& test) {
  auto is_text = [&](const ast::Value& value) {
    if (IsText(value)) return true;
    if (value.terms.size() != 1 || value.terms.front().kind != ast::Term::Kind::kName) return false;
    auto let = context.lets.find(value.terms.front().text);
    return let != context.lets.end() && IsText(let->second.let->value);
  };
  return test.field.size() > 1 || test.op == ast::Operator::kGlob ||
         test.op == ast::Operator::kUnder || is_text(test.value) ||
         std::ranges::any_of(test.set,
                             [&](const ast::SetElement& element) { return is_text(element.low); });
}

void ReportDeep(const TypeContext& context, const ast::Test& test) {
  ast::Test head;
  head.field = {test.field.front()};
  head.field_span = test.field_span;
  std::optional<Subject> subject = TypeOperand(context, head);
  if (!subject) return;
  std::optional<DeepField> field = FindField(context, test, *subject);
  if (!field) return;
  bool ok = CheckOperator(context, test, *field);
  if (!ok || !CheckRightSide(context, test, *subject, *field)) return;
  bool of_fd = subject->argument != nullptr && !IsPointer(subject->argument->kind);
  std::string registers = RegisterNames(context);
  std::vector<base::Note> notes;
  notes.push_back({of_fd ? "a filter sees the number of a descriptor, not what it refers to"
                         : "a filter sees the pointer, not the memory it points to",
                   {}});
  notes.push_back({registers.empty()
                       ? fmt::format("{} has no argument a filter can test", context.call)
                       : fmt::format("of {} a filter can test {}", context.call, registers),
                   {}});
  context.report.Error(
      test.field_span,
      fmt::format("'{}' needs the supervisor, which this version does not have", Dotted(test)),
      std::move(notes));
}

}  // namespace callgate::policy
