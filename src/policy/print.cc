#include "policy/print.h"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <variant>
#include <vector>

#include "fmt/format.h"
#include "policy/lexer.h"
#include "policy/text_check.h"

namespace callgate::policy {
namespace {

// Everything is printed as a list of pieces: words that stay together, with a blank between them.
// A list that is too wide for one line is filled into several; that is all the layout there is.
// Because the text depends on the tree alone, and parsing gives the tree back, printing is
// idempotent.

constexpr std::size_t kColumns = 100;
constexpr std::string_view kIndent = "    ";
constexpr std::string_view kDeepIndent = "        ";

using Pieces = std::vector<std::string>;

std::size_t Columns(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0U) != 0x80U; }));
}

std::string Joined(const Pieces& pieces) { return fmt::format("{}", fmt::join(pieces, " ")); }

// `first` begins the first line, `indent` every further one.
std::string Fill(const Pieces& pieces, std::string_view first, std::string_view indent) {
  std::string out(first);
  std::size_t column = Columns(first);
  bool line_is_empty = true;
  for (const std::string& piece : pieces) {
    std::size_t width = Columns(piece);
    if (!line_is_empty && column + 1 + width > kColumns) {
      out += '\n';
      out += indent;
      column = indent.size();
      line_is_empty = true;
    }
    if (!line_is_empty) {
      out += ' ';
      ++column;
    }
    out += piece;
    column += width;
    line_is_empty = false;
  }
  return out;
}

std::string Quote(std::string_view bytes) {
  bool escape_high = !ReadsAsStored(bytes);
  std::string out = "\"";
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto byte = static_cast<unsigned char>(bytes[i]);
    if (byte == '"' || byte == '\\') {
      out += '\\';
      out += bytes[i];
    } else if (byte == '\n') {
      out += "\\n";
    } else if (byte == '\t') {
      out += "\\t";
    } else if (byte < 0x20 || byte == 0x7F || (byte >= 0x80 && escape_high)) {
      out += fmt::format("\\x{:02x}", byte);
    } else {
      out += bytes[i];
    }
  }
  return out + '"';
}

std::string PrintTerm(const ast::Term& term) {
  switch (term.kind) {
    case ast::Term::Kind::kNumber:
    case ast::Term::Kind::kName:
    case ast::Term::Kind::kAddress:
      return term.text;
    case ast::Term::Kind::kDevice:
      return "dev(" + term.text + ")";
    case ast::Term::Kind::kString:
      return Quote(term.text);
  }
  return {};
}

std::string PrintElement(const ast::SetElement& element) {
  std::string out = Print(element.low);
  if (!element.high.terms.empty()) out += ".." + Print(element.high);
  return out;
}

Pieces SetPieces(const std::vector<ast::SetElement>& set) {
  Pieces pieces;
  for (const ast::SetElement& element : set) pieces.push_back(PrintElement(element) + ",");
  pieces.back().back() = '}';
  pieces.front().insert(0, "{");
  return pieces;
}

std::string_view Spell(ast::Operator op) {
  switch (op) {
    case ast::Operator::kNonZero:
      return "";
    case ast::Operator::kEqual:
      return "==";
    case ast::Operator::kNotEqual:
      return "!=";
    case ast::Operator::kLess:
      return "<";
    case ast::Operator::kLessEqual:
      return "<=";
    case ast::Operator::kGreater:
      return ">";
    case ast::Operator::kGreaterEqual:
      return ">=";
    case ast::Operator::kHas:
      return "has";
    case ast::Operator::kOnly:
      return "only";
    case ast::Operator::kIn:
      return "in";
    case ast::Operator::kNotIn:
      return "not in";
    case ast::Operator::kGlob:
      return "~";
    case ast::Operator::kUnder:
      return "under";
  }
  return "";
}

void Append(Pieces& pieces, Pieces more) { std::ranges::move(more, std::back_inserter(pieces)); }

Pieces TestPieces(const ast::Test& test) {
  std::string head = PrintField(test.field);
  if (!test.as_type.empty()) head += " as " + test.as_type;
  if (!test.mask.terms.empty()) {
    // Not needed, but `x & A|B == C` makes people stop and think.
    bool bracket = test.mask.terms.size() > 1;
    head += bracket ? " & (" + Print(test.mask) + ")" : " & " + Print(test.mask);
  }
  if (test.op == ast::Operator::kNonZero) return {head};
  head += ' ';
  head += Spell(test.op);
  if (test.set.empty()) return {head + " " + Print(test.value)};
  if (!test.in_braces) return {head + " " + PrintElement(test.set.front())};
  Pieces pieces = SetPieces(test.set);
  pieces.front() = head + " " + pieces.front();
  return pieces;
}

Pieces ExprPieces(const ast::Expr& expr);

// && inside || needs no brackets, but people misread it without.
Pieces ChildPieces(const ast::Expr& child) {
  Pieces pieces = ExprPieces(child);
  bool chain = child.kind == ast::Expr::Kind::kAnd || child.kind == ast::Expr::Kind::kOr;
  if (chain) {
    pieces.front().insert(0, "(");
    pieces.back() += ')';
  }
  return pieces;
}

Pieces ExprPieces(const ast::Expr& expr) {
  switch (expr.kind) {
    case ast::Expr::Kind::kTruth:
      return {expr.truth ? "1" : "0"};
    case ast::Expr::Kind::kName:
      return {expr.name};
    case ast::Expr::Kind::kTest:
      return TestPieces(*expr.test);
    case ast::Expr::Kind::kNot: {
      const ast::Expr& child = expr.children.front();
      Pieces pieces = ChildPieces(child);
      // !fd == 1 would read as (!fd) == 1.
      bool bracket = child.kind == ast::Expr::Kind::kTest;
      pieces.front().insert(0, bracket ? "!(" : "!");
      if (bracket) pieces.back() += ')';
      return pieces;
    }
    case ast::Expr::Kind::kAnd:
    case ast::Expr::Kind::kOr:
      break;
  }
  Pieces pieces;
  for (const ast::Expr& child : expr.children) {
    if (!pieces.empty()) pieces.back() += expr.kind == ast::Expr::Kind::kAnd ? " &&" : " ||";
    Append(pieces, ChildPieces(child));
  }
  return pieces;
}

std::string PrintAction(const ast::Action& action) {
  if (action.argument.terms.empty()) return action.name;
  return action.name + "(" + Print(action.argument) + ")";
}

Pieces ClausePieces(const ast::Clause& clause) {
  Pieces pieces = clause.is_else ? Pieces{"else"} : ExprPieces(clause.predicate);
  if (clause.has_action) pieces.push_back("-> " + PrintAction(clause.action));
  return pieces;
}

Pieces EventPieces(const std::vector<ast::Event>& events) {
  Pieces pieces;
  for (const ast::Event& event : events) pieces.push_back(Print(event) + ",");
  pieces.back().pop_back();
  return pieces;
}

std::string PrintRule(const ast::Rule& rule) {
  Pieces head = EventPieces(rule.events);
  if (rule.mode == ast::Rule::Mode::kOverride) head.front().insert(0, "override ");
  if (rule.mode == ast::Rule::Mode::kRestrict) head.front().insert(0, "restrict ");
  if (rule.clauses.empty()) return Fill(head, "", kIndent);
  head.back() += ':';

  bool has_comments = false;
  Pieces all = head;
  for (const ast::Clause& clause : rule.clauses) {
    has_comments |= !clause.comments.empty() || !clause.trailing.empty();
    Append(all, ClausePieces(clause));
    all.back() += ';';
  }
  all.back().pop_back();
  if (std::string line = Joined(all); !has_comments && Columns(line) <= kColumns) return line;

  std::string out = Fill(head, "", kIndent);
  for (std::size_t i = 0; i < rule.clauses.size(); ++i) {
    const ast::Clause& clause = rule.clauses[i];
    for (const std::string& comment : clause.comments)
      out += fmt::format("\n{}{}", kIndent, comment);
    Pieces pieces = ClausePieces(clause);
    if (i + 1 < rule.clauses.size()) pieces.back() += ';';
    out += '\n';
    out += Fill(pieces, kIndent, kDeepIndent);
    if (!clause.trailing.empty()) out += "  " + clause.trailing;
  }
  return out;
}

std::string PrintSetting(const ast::Setting& setting) {
  std::string head = setting.name + ": ";
  if (setting.name == "arch") return Fill(EventPieces(setting.arches), head, kIndent);
  if (setting.name == "as_of") return head + "linux " + setting.version;
  if (setting.name == "on_next_syscall") return head + (setting.flag ? "1" : "0");
  return head + PrintAction(setting.action);
}

std::string PrintLet(const ast::Let& let) {
  std::string head = "let " + let.name + " = ";
  switch (let.kind) {
    case ast::Let::Kind::kValue:
      return head + Print(let.value);
    case ast::Let::Kind::kSet:
      return Fill(SetPieces(let.set), head, kIndent);
    case ast::Let::Kind::kExpr:
      return Fill(ExprPieces(let.expr), head, kIndent);
  }
  return head;
}

std::string PrintBody(const ast::Statement& statement) {
  struct Printer {
    std::string operator()(const ast::Rule& rule) const { return PrintRule(rule); }
    std::string operator()(const ast::Setting& setting) const { return PrintSetting(setting); }
    std::string operator()(const ast::Use& use) const {
      return "use " + (use.is_file ? Quote(use.target) : use.target);
    }
    std::string operator()(const ast::Let& let) const { return PrintLet(let); }
    std::string operator()(const ast::Group& group) const {
      return Fill(EventPieces(group.members), "group " + group.name + " = ", kIndent);
    }
  };
  return std::visit(Printer{}, statement.body);
}

void PrintLeading(const std::vector<ast::LeadingComment>& comments, std::string& out) {
  for (const ast::LeadingComment& comment : comments) {
    if (comment.blank_before && !out.empty()) out += '\n';
    out += comment.text + "\n";
  }
}

}  // namespace

std::string Print(const ast::Value& value) {
  std::string out;
  for (const ast::Term& term : value.terms) {
    if (!out.empty()) out += '|';
    out += PrintTerm(term);
  }
  return out;
}

std::string PrintField(std::span<const std::string> field) {
  std::string text;
  for (const std::string& part : field) {
    if (!text.empty() && !part.starts_with('[')) text += '.';
    text += part;
  }
  return text;
}

std::string Print(const ast::Event& event) {
  if (event.numbers) {
    const auto [low, high] = *event.numbers;
    std::string name =
        low == high ? fmt::format("nr({})", low) : fmt::format("nr({}..{})", low, high);
    return event.prefix.empty() ? name : event.prefix + "." + name;
  }
  if (event.prefix == "trace" || event.prefix.starts_with("trace.")) {
    std::string rest = event.prefix.size() > 6 ? event.prefix.substr(6) + "." : "";
    return "trace " + rest + event.name;
  }
  return event.prefix.empty() ? event.name : event.prefix + "." + event.name;
}

std::string Print(const ast::Expr& expr) { return Joined(ExprPieces(expr)); }
std::string Print(const ast::Clause& clause) { return Joined(ClausePieces(clause)); }

std::string Print(const ast::File& file) {
  std::string out;
  for (const ast::Statement& statement : file.statements) {
    PrintLeading(statement.leading, out);
    if (statement.blank_before && !out.empty()) out += '\n';
    out += PrintBody(statement);
    if (!statement.trailing.empty()) out += "  " + statement.trailing;
    out += '\n';
  }
  PrintLeading(file.trailing, out);
  return out;
}

}  // namespace callgate::policy
