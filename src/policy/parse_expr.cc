#include "policy/parse_expr.h"

#include <memory>
#include <utility>

#include "fmt/format.h"
#include "policy/limits.h"

namespace callgate::policy {
namespace {

using ast::Expr;
using ast::Operator;
using ast::Test;

// Plain recursive descent. `&` binds tighter than a comparison, unlike C: the mask is part of the
// operand. Chains of && and || become one node with many children, so only brackets and `!` nest,
// and both count against kMaxExprDepth.
class ExprParser {
 public:
  explicit ExprParser(Cursor& cursor) : cursor_(cursor) {}

  std::optional<Expr> ParseOr() {
    return ParseChain(Expr::Kind::kOr, TokenKind::kOrOr, [this] {
      return ParseChain(Expr::Kind::kAnd, TokenKind::kAndAnd, [this] { return ParseUnary(); });
    });
  }

 private:
  template <typename ParseOperand>
  std::optional<Expr> ParseChain(Expr::Kind kind, TokenKind separator, ParseOperand parse) {
    std::optional<Expr> first = parse();
    if (!first || !cursor_.At(separator)) return first;
    Expr chain;
    chain.kind = kind;
    Append(chain, std::move(*first));
    while (cursor_.TryTake(separator)) {
      std::optional<Expr> next = parse();
      if (!next) return std::nullopt;
      Append(chain, std::move(*next));
    }
    return chain;
  }

  // (a && b) && c is a && b && c.
  static void Append(Expr& chain, Expr operand) {
    chain.span = chain.children.empty() ? operand.span : base::Join(chain.span, operand.span);
    if (operand.kind != chain.kind) {
      chain.children.push_back(std::move(operand));
      return;
    }
    for (Expr& child : operand.children) chain.children.push_back(std::move(child));
  }

  std::optional<Expr> ParseUnary() {
    if (!cursor_.CountNode()) return std::nullopt;
    base::Span begin = cursor_.Peek().span;
    if (cursor_.At(TokenKind::kBang) || cursor_.At(TokenKind::kLeftParen)) {
      if (depth_ == kMaxExprDepth) {
        cursor_.Fail(begin,
                     fmt::format("this expression is nested more than {} deep", kMaxExprDepth),
                     "name parts of it with `let`, or write it flat");
        return std::nullopt;
      }
      ++depth_;
      std::optional<Expr> result =
          cursor_.At(TokenKind::kBang) ? ParseNot(begin) : ParseParenthesised(begin);
      --depth_;
      return result;
    }
    if (cursor_.At(TokenKind::kNumber)) return ParseTruth(begin);
    if (cursor_.At(TokenKind::kName)) return ParseTest();
    cursor_.FailExpected("a test such as `fd == 1`");
    return std::nullopt;
  }

  std::optional<Expr> ParseNot(base::Span begin) {
    cursor_.Take();
    std::optional<Expr> operand = ParseUnary();
    if (!operand) return std::nullopt;
    Expr expr;
    expr.kind = Expr::Kind::kNot;
    expr.span = base::Join(begin, operand->span);
    expr.children.push_back(std::move(*operand));
    return expr;
  }

  std::optional<Expr> ParseParenthesised(base::Span begin) {
    cursor_.Take();
    std::optional<Expr> inner = ParseOr();
    if (!inner) return std::nullopt;
    if (!cursor_.TryTake(TokenKind::kRightParen)) {
      if (cursor_.AtEndOfStatement()) {
        cursor_.Fail(begin, "this '(' is never closed");
      } else {
        cursor_.FailExpected("'&&', '||' or ')'");
      }
      return std::nullopt;
    }
    inner->span = base::Join(begin, cursor_.LastSpan());
    // (flags & O_ACCMODE) == O_RDONLY: the brackets C needs are welcome.
    bool operand = inner->kind == Expr::Kind::kName ||
                   (inner->kind == Expr::Kind::kTest && inner->test->op == Operator::kNonZero);
    if (!operand || !AtTail()) return inner;
    if (inner->kind == Expr::Kind::kName) {
      inner->test = std::make_unique<Test>();
      inner->test->field = {std::move(inner->name)};
      inner->test->field_span = inner->span;
      inner->name.clear();
      inner->kind = Expr::Kind::kTest;
    }
    if (!ParseTail(*inner->test)) return std::nullopt;
    inner->span = base::Join(begin, cursor_.LastSpan());
    return inner;
  }

  std::optional<Expr> ParseTruth(base::Span span) {
    Expr expr;
    expr.kind = Expr::Kind::kTruth;
    expr.span = span;
    expr.truth = cursor_.Text() == "1";
    if (!expr.truth && cursor_.Text() != "0") {
      cursor_.Fail(
          span, fmt::format("'{}' is not a test", cursor_.Text().substr(0, 40)),
          "1 always matches, 0 never; in a comparison the argument stands first: `fd == 1`");
      return std::nullopt;
    }
    cursor_.Take();
    if (AtTail()) {
      cursor_.Fail(span, "a comparison begins with an argument", "write `fd == 1`, not `1 == fd`");
      return std::nullopt;
    }
    return expr;
  }

  std::optional<Expr> ParseTest() {
    auto test = std::make_unique<Test>();
    test->field_span = cursor_.Peek().span;
    test->field.emplace_back(cursor_.Text());
    cursor_.Take();
    while (cursor_.At(TokenKind::kIndex) || cursor_.TryTake(TokenKind::kDot)) {
      if (!cursor_.At(TokenKind::kIndex) && !cursor_.At(TokenKind::kName)) {
        cursor_.FailExpected("the name of a field after '.'");
        return std::nullopt;
      }
      test->field.emplace_back(cursor_.Text());
      test->field_span = base::Join(test->field_span, cursor_.Peek().span);
      cursor_.Take();
    }
    if (cursor_.TryTakeWord("as")) {
      if (!cursor_.At(TokenKind::kName)) {
        cursor_.FailExpected("a type: u32, s32, u64 or s64");
        return std::nullopt;
      }
      test->as_type = cursor_.Text();
      test->as_span = cursor_.Peek().span;
      cursor_.Take();
    }
    bool masked = cursor_.TryTake(TokenKind::kAmpersand);
    if (masked) {
      auto mask = ParseValue(cursor_);
      if (!mask) return std::nullopt;
      test->mask = std::move(*mask);
    }
    Expr expr;
    if (AtTail()) {
      if (!ParseTail(*test)) return std::nullopt;
    } else if (!masked) {
      bool plain_name = test->field.size() == 1 && test->as_type.empty();
      bool could_be_let = plain_name && (cursor_.AtEndOfStatement() || AtEndOfTest());
      if (!could_be_let) {
        cursor_.FailExpected(
            fmt::format("a comparison after '{}'", cursor_.Slice(test->field_span)));
        return std::nullopt;
      }
      expr.kind = Expr::Kind::kName;
      expr.name = std::move(test->field.front());
      expr.span = test->field_span;
      return expr;
    }
    expr.kind = Expr::Kind::kTest;
    expr.span = base::Join(test->field_span, cursor_.LastSpan());
    expr.test = std::move(test);
    return expr;
  }

  bool AtEndOfTest() const {
    switch (cursor_.Peek().kind) {
      case TokenKind::kAndAnd:
      case TokenKind::kOrOr:
      case TokenKind::kRightParen:
      case TokenKind::kSemicolon:
      case TokenKind::kArrow:
        return true;
      default:
        return false;
    }
  }

  static std::optional<Operator> OperatorOf(TokenKind kind) {
    switch (kind) {
      case TokenKind::kEqual:
        return Operator::kEqual;
      case TokenKind::kNotEqual:
        return Operator::kNotEqual;
      case TokenKind::kLess:
        return Operator::kLess;
      case TokenKind::kLessEqual:
        return Operator::kLessEqual;
      case TokenKind::kGreater:
        return Operator::kGreater;
      case TokenKind::kGreaterEqual:
        return Operator::kGreaterEqual;
      case TokenKind::kTilde:
        return Operator::kGlob;
      default:
        return std::nullopt;
    }
  }

  bool AtTail() const {
    return OperatorOf(cursor_.Peek().kind).has_value() || cursor_.AtWord("has") ||
           cursor_.AtWord("only") || cursor_.AtWord("in") || cursor_.AtWord("not") ||
           cursor_.AtWord("under");
  }

  bool ParseTail(Test& test) {
    if (auto op = OperatorOf(cursor_.Peek().kind)) {
      test.op = *op;
    } else if (cursor_.AtWord("has")) {
      test.op = Operator::kHas;
    } else if (cursor_.AtWord("only")) {
      test.op = Operator::kOnly;
    } else if (cursor_.AtWord("under")) {
      test.op = Operator::kUnder;
    } else if (cursor_.TryTakeWord("not")) {
      if (!cursor_.AtWord("in")) return cursor_.FailExpected("'in' after 'not'");
      test.op = Operator::kNotIn;
    } else {
      test.op = Operator::kIn;
    }
    cursor_.Take();
    bool is_in = test.op == Operator::kIn || test.op == Operator::kNotIn;
    bool takes_set = is_in || test.op == Operator::kGlob || test.op == Operator::kUnder;
    if (takes_set && cursor_.At(TokenKind::kLeftBrace)) {
      auto set = ParseSet(cursor_);
      if (!set) return false;
      test.set = std::move(*set);
      return true;
    }
    auto value = ParseValue(cursor_);
    if (!value) return false;
    if (!is_in) {
      test.value = std::move(*value);
      return true;
    }
    test.in_braces = false;
    ast::SetElement element{std::move(*value), {}, {}};
    element.span = element.low.span;
    if (cursor_.TryTake(TokenKind::kDotDot)) {
      auto high = ParseValue(cursor_);
      if (!high) return false;
      element.high = std::move(*high);
      element.span = base::Join(element.span, element.high.span);
    }
    test.set.push_back(std::move(element));
    return true;
  }

  Cursor& cursor_;
  int depth_ = 0;
};

}  // namespace

std::optional<ast::Expr> ParseExpr(Cursor& cursor) { return ExprParser(cursor).ParseOr(); }

}  // namespace callgate::policy
