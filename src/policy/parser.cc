#include "policy/parser.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <utility>

#include "abi/syscalls.h"
#include "fmt/format.h"
#include "policy/cursor.h"
#include "policy/lexer.h"
#include "policy/limits.h"
#include "policy/parse_expr.h"

namespace callgate::policy {
namespace {

// Statements. Comments are not tokens; they are handed out by position: those above a statement
// belong to it, those inside a rule to the clause they stand above or behind, any other inside a
// statement moves above it. Nothing is lost, and the printer has a place for each.

constexpr std::array<std::string_view, 6> kSettings{"arch",  "default",  "unknown",
                                                    "as_of", "bad_arch", "on_next_syscall"};

class Parser {
 public:
  Parser(const base::SourceMap& sources, base::FileId file, const TokenList& list,
         base::Diagnostics& diagnostics)
      : cursor_(sources, file, list, diagnostics), list_(list) {}

  ast::File Run() {
    ast::File file;
    while (true) {
      while (cursor_.TryTake(TokenKind::kNewline)) {
      }
      if (cursor_.At(TokenKind::kEnd) || cursor_.out_of_budget()) break;
      ast::Statement statement;
      statement.leading = TakeLeading();
      statement.blank_before = AtBlank();
      statement.span = cursor_.Peek().span;
      bool ok = ParseStatement(statement);
      if (ok && !cursor_.AtEndOfStatement()) {
        ok = cursor_.FailExpected("the end of the line");
      }
      if (!ok) cursor_.SkipStatement();
      statement.span = base::Join(statement.span, cursor_.LastSpan());
      TakeInner(statement);
      if (!ok) continue;
      if (++rules_ > kMaxRules) {
        cursor_.Fail(statement.span, fmt::format("a policy has at most {} rules", kMaxRules),
                     "reading stopped here");
        break;
      }
      file.statements.push_back(std::move(statement));
    }
    file.trailing = TakeLeading();
    return file;
  }

 private:
  std::string TextOf(const Comment& comment) const {
    return std::string(cursor_.Slice(comment.span));
  }

  // Comments that stand before the current token.
  std::vector<ast::LeadingComment> TakeLeading() {
    std::vector<ast::LeadingComment> lines;
    while (next_comment_ < list_.comments.size() &&
           list_.comments[next_comment_].before_token <= cursor_.position()) {
      const Comment& comment = list_.comments[next_comment_++];
      lines.push_back({TextOf(comment), comment.blank_before});
    }
    return lines;
  }

  bool AtBlank() {
    while (next_blank_ < list_.after_blank.size() &&
           list_.after_blank[next_blank_] < cursor_.position()) {
      ++next_blank_;
    }
    return next_blank_ < list_.after_blank.size() &&
           list_.after_blank[next_blank_] == cursor_.position();
  }

  // At the end of a statement: what no clause has taken.
  void TakeInner(ast::Statement& statement) {
    while (next_comment_ < list_.comments.size() &&
           list_.comments[next_comment_].before_token <= cursor_.position()) {
      const Comment& comment = list_.comments[next_comment_++];
      bool behind = comment.before_token == cursor_.position() && !comment.own_line;
      if (behind && statement.trailing.empty()) {
        statement.trailing = TextOf(comment);
      } else {
        // The first one takes over the empty line above the statement.
        bool blank = statement.leading.empty() && std::exchange(statement.blank_before, false);
        statement.leading.push_back({TextOf(comment), blank});
      }
    }
  }

  bool ParseStatement(ast::Statement& statement) {
    TokenKind second = cursor_.Peek(1).kind;
    if (cursor_.At(TokenKind::kName)) {
      if (cursor_.AtWord("use") && (second == TokenKind::kString || second == TokenKind::kAtName)) {
        return ParseUse(statement.body.emplace<ast::Use>());
      }
      if (cursor_.AtWord("let") && second == TokenKind::kName) {
        return ParseLet(statement.body.emplace<ast::Let>());
      }
      if (cursor_.AtWord("group") && second == TokenKind::kAtName) {
        return ParseGroup(statement.body.emplace<ast::Group>());
      }
      if (second == TokenKind::kColon &&
          std::ranges::find(kSettings, cursor_.Text()) != kSettings.end()) {
        return ParseSetting(statement.body.emplace<ast::Setting>());
      }
    }
    return ParseRule(statement.body.emplace<ast::Rule>());
  }

  bool ParseUse(ast::Use& use) {
    cursor_.Take();
    use.target_span = cursor_.Peek().span;
    if (cursor_.At(TokenKind::kAtName)) {
      use.target = cursor_.Text();
      cursor_.Take();
      return true;
    }
    use.is_file = true;
    auto path = ParseString(cursor_);
    if (!path) return false;
    use.target = std::move(*path);
    return true;
  }

  bool ParseLet(ast::Let& let) {
    cursor_.Take();
    let.name = cursor_.Text();
    let.name_span = cursor_.Peek().span;
    cursor_.Take();
    if (!cursor_.TryTake(TokenKind::kAssign)) return cursor_.FailExpected("'='");
    if (cursor_.At(TokenKind::kLeftBrace)) {
      let.kind = ast::Let::Kind::kSet;
      auto set = ParseSet(cursor_);
      if (set) let.set = std::move(*set);
      return set.has_value();
    }
    if (IsValueToTheEnd()) {
      let.kind = ast::Let::Kind::kValue;
      auto value = ParseValue(cursor_);
      if (value) let.value = std::move(*value);
      return value.has_value();
    }
    let.kind = ast::Let::Kind::kExpr;
    auto expr = ParseExpr(cursor_);
    if (expr) let.expr = std::move(*expr);
    return expr.has_value();
  }

  // `let a = O_RDONLY|O_CLOEXEC` is a value, `let a = flags only O_RDONLY` a test: a value is terms
  // with `|` between them and nothing else. Looks ahead only; ParseValue does the work.
  bool IsValueToTheEnd() const {
    for (std::size_t i = 0;; ++i) {
      if (cursor_.Peek(i).kind == TokenKind::kMinus) ++i;
      switch (cursor_.Peek(i).kind) {
        case TokenKind::kName:
          // dev(1, 3)
          if (cursor_.Peek(i + 1).kind == TokenKind::kLeftParen) i += 5;
          break;
        case TokenKind::kNumber:
        case TokenKind::kString:
        case TokenKind::kAddress:
          break;
        default:
          return false;
      }
      ++i;
      TokenKind next = cursor_.Peek(i).kind;
      if (next == TokenKind::kNewline || next == TokenKind::kEnd) return true;
      if (next != TokenKind::kPipe) return false;
    }
  }

  bool ParseGroup(ast::Group& group) {
    cursor_.Take();
    group.name = cursor_.Text();
    group.name_span = cursor_.Peek().span;
    cursor_.Take();
    if (!cursor_.TryTake(TokenKind::kAssign)) return cursor_.FailExpected("'='");
    return ParseEvents(group.members) && HoldsNames(group.members, "a group");
  }

  bool ParseSetting(ast::Setting& setting) {
    setting.name = cursor_.Text();
    setting.name_span = cursor_.Peek().span;
    cursor_.Take();
    cursor_.Take();
    setting.value_span = cursor_.Peek().span;
    bool ok = ParseSettingValue(setting);
    setting.value_span = base::Join(setting.value_span, cursor_.LastSpan());
    return ok;
  }

  bool ParseSettingValue(ast::Setting& setting) {
    if (setting.name == "arch") {
      return ParseEvents(setting.arches) && HoldsNames(setting.arches, "arch");
    }
    if (setting.name == "as_of") return ParseVersion(setting.version);
    if (setting.name == "on_next_syscall") {
      if (!cursor_.At(TokenKind::kNumber) || (cursor_.Text() != "0" && cursor_.Text() != "1")) {
        return cursor_.FailExpected("0 or 1");
      }
      setting.flag = cursor_.Text() == "1";
      cursor_.Take();
      return true;
    }
    return ParseAction(setting.action);
  }

  // linux 6.1 or linux 6.1.44
  bool ParseVersion(std::string& version) {
    if (!cursor_.TryTakeWord("linux")) return cursor_.FailExpected("`linux VERSION`");
    for (int part = 0; part < 3; ++part) {
      if (part > 0 && !cursor_.TryTake(TokenKind::kDot)) {
        if (part == 2) break;
        return cursor_.FailExpected("a kernel version such as 6.1");
      }
      std::string_view digits = cursor_.Text();
      bool plain = cursor_.At(TokenKind::kNumber) && digits.size() <= 4 &&
                   std::ranges::all_of(digits, [](char c) { return c >= '0' && c <= '9'; });
      if (!plain) return cursor_.FailExpected("a kernel version such as 6.1");
      if (part > 0) version += '.';
      version += digits;
      cursor_.Take();
    }
    return true;
  }

  bool ParseEvents(std::vector<ast::Event>& events) {
    do {
      if (!cursor_.CountNode()) return false;
      ast::Event event;
      event.span = cursor_.Peek().span;
      if (cursor_.At(TokenKind::kAtName)) {
        event.is_group = true;
        event.name = cursor_.Text();
        cursor_.Take();
      } else if (!ParseEventName(event)) {
        return false;
      }
      event.span = base::Join(event.span, cursor_.LastSpan());
      events.push_back(std::move(event));
    } while (cursor_.TryTake(TokenKind::kComma));
    return true;
  }

  bool HoldsNames(const std::vector<ast::Event>& events, std::string_view what) {
    for (const ast::Event& event : events) {
      if (event.numbers) return cursor_.Fail(event.span, fmt::format("{} holds names", what));
    }
    return true;
  }

  // nr(335) or nr(335..423); the cursor is behind `nr`.
  bool ParseNumbers(ast::Event& event) {
    cursor_.Take();
    event.numbers.emplace();
    if (!ParseCallNumber(event.numbers->low)) return false;
    event.numbers->high = event.numbers->low;
    if (cursor_.TryTake(TokenKind::kDotDot) && !ParseCallNumber(event.numbers->high)) return false;
    if (!cursor_.TryTake(TokenKind::kRightParen)) return cursor_.FailExpected("')'");
    base::Span span = base::Join(event.span, cursor_.LastSpan());
    std::int64_t size = std::int64_t{event.numbers->high} - event.numbers->low + 1;
    if (size < 1)
      return cursor_.Fail(span, "this range is empty", "write the smaller number first");
    if (size <= kMaxNumbers) return true;
    return cursor_.Fail(span, fmt::format("a range has at most {} numbers", kMaxNumbers),
                        "`unknown:` is for all numbers that no kernel has");
  }

  bool ParseCallNumber(std::int32_t& number) {
    base::Span span = cursor_.Peek().span;
    bool is_negative = cursor_.At(TokenKind::kMinus);
    if (!is_negative && !cursor_.At(TokenKind::kNumber)) return cursor_.FailExpected("a number");
    auto value = ParseValue(cursor_);
    if (!value) return false;
    const ast::Term& term = value->terms.front();
    bool is_one = value->terms.size() == 1 && term.kind == ast::Term::Kind::kNumber;
    // The kernel's syscall numbers are ints; x32's and tracers' -1 are among them.
    auto wide = static_cast<std::int64_t>(term.number);
    bool fits = term.is_negative ? wide >= INT32_MIN : term.number <= INT32_MAX;
    if (!is_one || !fits) {
      return cursor_.Fail(base::Join(span, cursor_.LastSpan()),
                          "this is no number of a system call");
    }
    number = static_cast<std::int32_t>(wide);
    return true;
  }

  bool ParseEventName(ast::Event& event) {
    if (!cursor_.At(TokenKind::kName)) return cursor_.FailExpected("the name of a system call");
    std::string name(cursor_.Text());
    cursor_.Take();
    // `trace sched.sched_process_exec: …` has a blank where the others have a dot.
    bool trace = name == "trace" && cursor_.At(TokenKind::kName);
    while (trace || cursor_.TryTake(TokenKind::kDot)) {
      trace = false;
      if (!cursor_.At(TokenKind::kName)) return cursor_.FailExpected("a name after '.'");
      if (!event.prefix.empty()) event.prefix += '.';
      event.prefix += name;
      name = cursor_.Text();
      cursor_.Take();
    }
    if (name == "nr" && cursor_.At(TokenKind::kLeftParen)) return ParseNumbers(event);
    // Only in front of a call: without it `sys_use` would be another statement.
    const bool has_prefix =
        name.starts_with("sys_") && abi::IsKnownSyscallName(std::string_view(name).substr(4));
    event.name = has_prefix ? name.substr(4) : std::move(name);
    return true;
  }

  bool ParseRule(ast::Rule& rule) {
    TokenKind second = cursor_.Peek(1).kind;
    if (second == TokenKind::kName || second == TokenKind::kAtName) {
      if (cursor_.TryTakeWord("override")) rule.mode = ast::Rule::Mode::kOverride;
      if (cursor_.TryTakeWord("restrict")) rule.mode = ast::Rule::Mode::kRestrict;
    }
    if (!ParseEvents(rule.events)) return false;
    if (!cursor_.At(TokenKind::kColon)) {
      if (!cursor_.AtEndOfStatement()) {
        cursor_.FailExpected("':' or the end of the line");
        return false;
      }
      if (rule.mode == ast::Rule::Mode::kPlain) return true;
      return cursor_.FailExpected("':' and what is allowed (`: 1` is everything, `: 0` nothing)");
    }
    cursor_.Take();
    bool ok = true;
    do {
      ast::Clause clause;
      TakeClauseComments(rule, clause);
      clause.span = cursor_.Peek().span;
      bool clause_ok = ParseClause(clause);
      if (clause_ok && !cursor_.AtEndOfStatement() && !cursor_.At(TokenKind::kSemicolon)) {
        clause_ok = cursor_.FailExpected("'->', ';' or the end of the line");
      }
      if (!clause_ok) {
        cursor_.SkipClause();
        ok = false;
      }
      clause.span = base::Join(clause.span, cursor_.LastSpan());
      if (cursor_.At(TokenKind::kSemicolon)) TakeCommentsInside(clause);
      rule.clauses.push_back(std::move(clause));
    } while (!cursor_.out_of_budget() && cursor_.TryTake(TokenKind::kSemicolon));
    // Comments within the last clause; the one behind it is the statement's.
    while (HasComment() && !AtTrailingComment()) {
      rule.clauses.back().comments.push_back(TextOf(list_.comments[next_comment_++]));
    }
    return ok;
  }

  bool HasComment() const {
    return next_comment_ < list_.comments.size() &&
           list_.comments[next_comment_].before_token <= cursor_.position();
  }
  bool AtTrailingComment() const {
    const Comment& comment = list_.comments[next_comment_];
    return comment.before_token == cursor_.position() && !comment.own_line;
  }

  // Between `;` and the clause: a comment on the line of the `;` belongs to the clause before.
  void TakeClauseComments(ast::Rule& rule, ast::Clause& clause) {
    for (; HasComment(); ++next_comment_) {
      const Comment& comment = list_.comments[next_comment_];
      bool behind_semicolon = !comment.own_line && comment.before_token == cursor_.position();
      if (behind_semicolon && !rule.clauses.empty() && rule.clauses.back().trailing.empty()) {
        rule.clauses.back().trailing = TextOf(comment);
      } else {
        clause.comments.push_back(TextOf(comment));
      }
    }
  }

  void TakeCommentsInside(ast::Clause& clause) {
    for (; HasComment(); ++next_comment_) {
      if (AtTrailingComment() && clause.trailing.empty()) {
        clause.trailing = TextOf(list_.comments[next_comment_]);
      } else {
        clause.comments.push_back(TextOf(list_.comments[next_comment_]));
      }
    }
  }

  bool ParseClause(ast::Clause& clause) {
    if (cursor_.TryTakeWord("else")) {
      clause.is_else = true;
      if (!cursor_.At(TokenKind::kArrow)) return cursor_.FailExpected("'->' and an action");
    } else {
      auto predicate = ParseExpr(cursor_);
      if (!predicate) return false;
      clause.predicate = std::move(*predicate);
    }
    if (!cursor_.TryTake(TokenKind::kArrow)) return true;
    clause.has_action = true;
    return ParseAction(clause.action);
  }

  bool ParseAction(ast::Action& action) {
    action.span = cursor_.Peek().span;
    if (!cursor_.At(TokenKind::kName)) return cursor_.FailExpected("an action");
    action.name = cursor_.Text();
    cursor_.Take();
    if (cursor_.TryTake(TokenKind::kLeftParen)) {
      auto argument = ParseValue(cursor_);
      if (!argument) return false;
      action.argument = std::move(*argument);
      if (!cursor_.TryTake(TokenKind::kRightParen)) return cursor_.FailExpected("')'");
    }
    action.span = base::Join(action.span, cursor_.LastSpan());
    return true;
  }

  Cursor cursor_;
  const TokenList& list_;
  std::size_t next_comment_ = 0;
  std::size_t next_blank_ = 0;
  std::size_t rules_ = 0;
};

}  // namespace

ast::File Parse(const base::SourceMap& sources, base::FileId file, base::Diagnostics& diagnostics) {
  TokenList list = Lex(sources, file, diagnostics);
  return Parser(sources, file, list, diagnostics).Run();
}

}  // namespace callgate::policy
