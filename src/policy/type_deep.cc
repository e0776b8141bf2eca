#include "policy/type_deep.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <charconv>

#include "abi/structs.h"
#include "base/nearest.h"
#include "policy/limits.h"
#include "policy/print.h"
#include "policy/type_operand.h"
#include "policy/type_value.h"

namespace callgate::policy {
namespace {

struct DeepField {
  DeepSubject::Kind kind = DeepSubject::Kind::kField;
  std::uint8_t bits = 0;      // 0: no number
  std::string_view set = {};  // constants of a number
  std::uint32_t offset = 0;   // kField, kElement
  std::uint32_t size = 0;
  std::string_view key = {};  // kVariable
  std::uint32_t whole = 0;
  bool is_signed = false;
  bool in_message = false;
};

struct PseudoField {
  std::string_view name;
  DeepField field;
};
// A socket address has one layout a family; the language gives what policies ask for one name.
constexpr std::array<PseudoField, 5> kSockaddrFields{{
    {"family", {DeepSubject::Kind::kFamily, 16, "sock_family"}},
    {"port", {DeepSubject::Kind::kPort, 16}},
    {"ip", {DeepSubject::Kind::kIp}},
    {"path", {DeepSubject::Kind::kUnixPath}},
    {"abstract", {DeepSubject::Kind::kAbstract}},
}};
constexpr std::array<PseudoField, 2> kFdFields{{
    {"path", {DeepSubject::Kind::kDescriptor}},
    {"type", {DeepSubject::Kind::kFileType}},
}};
constexpr std::array<std::string_view, 10> kFileTypes{
    "file", "directory", "symlink", "socket", "pipe", "char", "block", "epoll", "eventfd", "other"};

bool IsPathKind(DeepSubject::Kind kind) {
  return kind == DeepSubject::Kind::kPath || kind == DeepSubject::Kind::kUnixPath ||
         kind == DeepSubject::Kind::kDescriptor;
}

std::string FieldText(const ast::Test& test) { return PrintField(test.field); }

template <typename Table>
std::optional<DeepField> FindPseudo(const TypeContext& context, const ast::Test& test,
                                    const Table& table, std::string_view what) {
  // The last component is the field; what stands before it names the thing.
  const std::string& field = test.field.back();
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
                                         std::string_view struct_name) {
  std::string wanted = fmt::format("{}", fmt::join(test.field.begin() + 1, test.field.end(), "."));
  std::vector<abi::StructField> fields = abi::FieldsOf(context.arch, struct_name);
  base::NearestName nearest(wanted);
  for (const abi::StructField& field : fields) {
    if (field.name == wanted) {
      DeepField found{
          .kind = DeepSubject::Kind::kField,
          .bits = static_cast<std::uint8_t>(std::min<std::uint32_t>(field.size * 8, 64)),
          .offset = field.offset,
          .size = field.size,
          .whole = abi::SizeOfStruct(context.arch, struct_name).value_or(0),
          .is_signed = field.kind.starts_with("int") || field.kind == "pid" || field.kind == "fd"};
      for (std::string_view prefix : {"flags:", "enum:"}) {
        if (field.kind.starts_with(prefix)) found.set = field.kind.substr(prefix.size());
      }
      return found;
    }
    nearest.Offer(field.name);
  }
  std::vector<base::Note> notes;
  if (auto best = nearest.Best()) notes.push_back({fmt::format("did you mean '{}'?", *best), {}});
  context.report.Error(test.field_span,
                       fields.empty()
                           ? fmt::format("the tables do not know the layout of struct {} on {}",
                                         struct_name, abi::ArchOf(context.arch).name)
                           : fmt::format("struct {} has no field '{}'", struct_name, wanted),
                       std::move(notes));
  return std::nullopt;
}

// argv[0], argv.count; envp.PATH.
std::optional<DeepField> FindString(const TypeContext& context, const ast::Test& test,
                                    const abi::Argument& argument) {
  const std::string& field = test.field[1];
  bool named = argument.name == "envp";
  bool is_index = field.starts_with('[');
  if (named && !is_index && test.field.size() == 2) {
    return DeepField{.kind = DeepSubject::Kind::kVariable, .key = field};
  }
  if (!named && test.field.size() == 2) {
    if (field == "count") return DeepField{.kind = DeepSubject::Kind::kCount, .bits = 32};
    std::uint32_t index = 0;
    if (is_index) {
      auto [end, error] = std::from_chars(field.data() + 1, field.data() + field.size(), index);
      if (error == std::errc() && index <= kMaxIndex) {
        return DeepField{.kind = DeepSubject::Kind::kElement, .offset = index};
      }
      context.report.Error(test.field_span, fmt::format("an index is at most {}", kMaxIndex));
      return std::nullopt;
    }
  }
  context.report.Error(test.field_span,
                       fmt::format("'{}' is nothing that {} has", FieldText(test), argument.name),
                       {{named ? "write `envp.PATH` for the value of the variable PATH"
                               : "write `argv[1]` for an argument, `argv.count` for their number",
                         {}}});
  return std::nullopt;
}

// What sendmsg and sendmmsg send: `msg.addr.port` is of the address in each message, `msg.msg_name`
// of its header.
std::optional<DeepField> FindMessageField(const TypeContext& context, const ast::Test& test) {
  bool of_address = test.field.size() == 3 && test.field[1] == "addr";
  std::optional<DeepField> field =
      of_address ? FindPseudo(context, test, kSockaddrFields, "a socket address")
                 : FindStructField(context, test, "msghdr");
  if (field) field->in_message = true;
  return field;
}

std::optional<DeepField> FindField(const TypeContext& context, const ast::Test& test,
                                   const Subject& subject) {
  const abi::Argument* argument = subject.argument;
  abi::ArgKind kind = argument == nullptr ? abi::ArgKind::kInteger : argument->kind;
  bool has_field = test.field.size() > 1;
  if (has_field && argument != nullptr && argument->direction == abi::Direction::kOut) {
    context.report.Error(test.field_span, fmt::format("{} is written by the kernel", subject.shown),
                         {{"before the call there is nothing to look at", {}}});
    return std::nullopt;
  }
  bool sends = context.call == "sendmsg" || context.call == "sendmmsg";
  if (sends && subject.operand.slot == 1 && has_field) return FindMessageField(context, test);
  if (kind == abi::ArgKind::kSockaddr && test.field.size() == 2) {
    return FindPseudo(context, test, kSockaddrFields, "a socket address");
  }
  if (kind == abi::ArgKind::kDirFd && has_field) {
    context.report.Error(test.field_span,
                         fmt::format("{} is where a relative path starts", subject.shown),
                         {{"test the path: it is resolved from there", {}}});
    return std::nullopt;
  }
  if (kind == abi::ArgKind::kFd && test.field.size() == 2) {
    return FindPseudo(context, test, kFdFields, "a descriptor");
  }
  if (kind == abi::ArgKind::kStruct && has_field) {
    return FindStructField(context, test, argument->struct_name);
  }
  if (kind == abi::ArgKind::kStringVector && has_field) return FindString(context, test, *argument);
  // The text of a link that is made leads nowhere yet.
  bool is_link_text = context.call.starts_with("symlink") && subject.operand.slot == 0;
  if (is_link_text && !has_field) return DeepField{.kind = DeepSubject::Kind::kString};
  if (kind == abi::ArgKind::kPath && !has_field) return DeepField{.kind = DeepSubject::Kind::kPath};
  if (kind == abi::ArgKind::kString && !has_field)
    return DeepField{.kind = DeepSubject::Kind::kString};
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

std::optional<IpNetwork> ParseNetwork(const std::string& text) {
  std::size_t slash = text.find('/');
  std::string address = text.substr(0, slash);
  bool v6 = address.find(':') != std::string::npos;
  unsigned whole = v6 ? 128U : 32U;
  IpNetwork network;
  if (v6) {
    if (inet_pton(AF_INET6, address.c_str(), network.address.data()) != 1) return std::nullopt;
  } else {
    std::array<std::uint8_t, 4> bytes{};
    if (inet_pton(AF_INET, address.c_str(), bytes.data()) != 1) return std::nullopt;
    network.address = MappedIpv4(bytes);
  }
  unsigned prefix = whole;
  if (slash != std::string::npos) {
    const char* end = text.data() + text.size();
    auto [rest, error] = std::from_chars(text.data() + slash + 1, end, prefix);
    if (error != std::errc() || rest != end || prefix > whole) return std::nullopt;
  }
  network.prefix = static_cast<std::uint8_t>(prefix + 128U - whole);
  return network;
}

// A path is compared with what the kernel calls a file: anything else would never match.
bool CheckPathText(const TypeContext& context, const ast::Term& term, ast::Operator op) {
  const std::string& text = term.text;
  auto fail = [&](std::string_view why) {
    context.report.Error(term.span, fmt::format("\"{}\" can never match: {}", text, why));
    return false;
  };
  // A link of /proc can lead to a file that has no path: "pipe:[4711]".
  bool names_an_object = !text.starts_with('/') && text.find(':') != std::string::npos;
  if (names_an_object && op != ast::Operator::kUnder) return true;
  bool may_be_relative = op == ast::Operator::kGlob && text.starts_with("*");
  if (!text.starts_with('/') && !may_be_relative) return fail("a resolved path begins with '/'");
  if (text.size() > 1 && text.ends_with('/')) return fail("a resolved path does not end with '/'");
  std::string whole = text + "/";
  for (std::string_view part : {"//", "/./", "/../"}) {
    if (whole.find(part) != std::string::npos && text != "/") {
      return fail("a resolved path has no empty, '.' or '..' component");
    }
  }
  return true;
}

// One value on the right, which is not a number; added to `typed`.
bool TypeTerm(const TypeContext& context, const ast::Test& test, const ast::Value& value,
              DeepTest& typed) {
  const ast::Term& term = value.terms.front();
  bool single = value.terms.size() == 1;
  std::string_view wanted;
  switch (typed.subject.kind) {
    case DeepSubject::Kind::kField:
    case DeepSubject::Kind::kFamily:
    case DeepSubject::Kind::kPort:
    case DeepSubject::Kind::kCount:
      return true;
    case DeepSubject::Kind::kString:
    case DeepSubject::Kind::kAbstract:
    case DeepSubject::Kind::kElement:
    case DeepSubject::Kind::kVariable:
    case DeepSubject::Kind::kPath:
    case DeepSubject::Kind::kUnixPath:
    case DeepSubject::Kind::kDescriptor:
      if (single && term.kind == ast::Term::Kind::kString) {
        bool is_path = IsPathKind(typed.subject.kind);
        if (is_path && !CheckPathText(context, term, test.op)) return false;
        typed.texts.push_back(term.text);
        return true;
      }
      wanted = "a string in double quotes";
      break;
    case DeepSubject::Kind::kIp:
      if (single && term.kind == ast::Term::Kind::kAddress) {
        if (auto network = ParseNetwork(term.text)) {
          typed.networks.push_back(*network);
          return true;
        }
        context.report.Error(term.span,
                             fmt::format("'{}' is not an IP address or network", term.text));
        return false;
      }
      wanted = "an IP address or network";
      break;
    case DeepSubject::Kind::kFileType:
      if (single && term.kind == ast::Term::Kind::kName &&
          std::ranges::find(kFileTypes, term.text) != kFileTypes.end()) {
        typed.texts.push_back(term.text);
        return true;
      }
      wanted = "file, directory, symlink, socket, pipe, char, block, epoll, eventfd or other";
      break;
  }
  if (single && term.kind == ast::Term::Kind::kName && context.KnowsLet(term.text)) {
    const ast::Let* let = context.FindLet(term.text, term.span);
    if (let == nullptr) return false;
    if (let->kind == ast::Let::Kind::kValue) return TypeTerm(context, test, let->value, typed);
  }
  context.report.Error(value.span,
                       fmt::format("'{}' is compared with {}", typed.subject.name, wanted));
  return false;
}

bool CheckOperator(const TypeContext& context, const ast::Test& test, const DeepOperand& operand) {
  DeepSubject::Kind kind = operand.subject.kind;
  bool is_string = kind == DeepSubject::Kind::kString || kind == DeepSubject::Kind::kAbstract ||
                   kind == DeepSubject::Kind::kElement || kind == DeepSubject::Kind::kVariable;
  if (operand.is_number) {
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
        if (is_string || IsPathKind(kind)) return true;
        break;
      case ast::Operator::kUnder:
        if (IsPathKind(kind)) return true;
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
  context.report.Error(test.field_span,
                       fmt::format("'{}' cannot be tested this way", FieldText(test)),
                       {{"text has ==, !=, in and ~ (glob), paths also `under`; addresses and file "
                         "types have ==, != and in",
                         {}}});
  return false;
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

std::unique_ptr<DeepOperand> TypeDeepOperand(const TypeContext& context, const ast::Test& test) {
  ast::Test head;
  head.field = {test.field.front()};
  head.field_span = test.field_span;
  std::optional<Subject> subject = TypeOperand(context, head);
  if (!subject) return nullptr;
  std::optional<DeepField> field = FindField(context, test, *subject);
  if (!field) return nullptr;
  auto operand = std::make_unique<DeepOperand>();
  operand->subject = {.kind = field->kind,
                      .slot = subject->operand.slot,
                      .size_slot = subject->argument->length_arg,
                      .offset = field->offset,
                      .size = field->size,
                      .whole = field->whole,
                      .in_message = field->in_message,
                      .name = FieldText(test),
                      .key = std::string(field->key)};
  operand->is_number = field->bits != 0;
  operand->described.set = field->set;
  operand->described.bits = field->bits;
  operand->number.operand.bits = field->bits;
  operand->number.operand.is_signed = field->is_signed;
  operand->number.operand.name = operand->subject.name;
  operand->number.argument = &operand->described;
  operand->number.shown = fmt::format("field '{}'", operand->subject.name);
  if (!CheckOperator(context, test, *operand)) return nullptr;
  return operand;
}

std::optional<DeepTest> TypeDeepText(const TypeContext& context, const ast::Test& test,
                                     const DeepOperand& operand) {
  DeepTest typed{.subject = operand.subject};
  typed.negated = test.op == ast::Operator::kNotEqual || test.op == ast::Operator::kNotIn;
  if (test.op == ast::Operator::kGlob) {
    typed.match = DeepTest::Match::kGlob;
  } else if (test.op == ast::Operator::kUnder) {
    typed.match = DeepTest::Match::kUnder;
  } else if (operand.subject.kind == DeepSubject::Kind::kIp) {
    typed.match = DeepTest::Match::kNetwork;
  }
  if (test.set.empty()) {
    if (!TypeTerm(context, test, test.value, typed)) return std::nullopt;
    return typed;
  }
  bool ok = true;
  for (const ast::SetElement& element : test.set) {
    if (!element.high.terms.empty()) {
      context.report.Error(element.span, fmt::format("'{}' has no ranges", operand.subject.name));
      ok = false;
    } else if (!TypeTerm(context, test, element.low, typed)) {
      ok = false;
    }
  }
  if (!ok) return std::nullopt;
  return typed;
}

}  // namespace callgate::policy
