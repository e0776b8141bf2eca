#include "policy/type_expr.h"

#include <utility>

#include "policy/print.h"
#include "policy/ranges.h"
#include "policy/type_deep.h"
#include "policy/type_operand.h"
#include "policy/type_value.h"

namespace callgate::policy {
namespace {

// `has`, `only` and a bare mask are masked comparisons; sets are ranges; lets are written out. A
// masked operand is a bit pattern, so it is compared unsigned. 16-bit arguments become masked
// 32-bit ones: the filter has no narrower word.
//
// A comparison that no value of the operand's type passes is an error, one that every value passes
// a doubt: the policy does not say what its author thinks it says.

class ExprTyper {
 public:
  explicit ExprTyper(const TypeContext& context) : context_(context) {}

  std::optional<Expr> Type(const ast::Expr& expr) {
    if (!context_.budget.TakeNode(expr.span, context_.report)) return std::nullopt;
    // Lets can nest deeper than any text: each use adds its own levels.
    if (depth_ == kMaxExprDepth) {
      context_.report.Error(expr.span,
                            fmt::format("this expression is nested more than {} deep once its lets "
                                        "are written out",
                                        kMaxExprDepth));
      return std::nullopt;
    }
    ++depth_;
    std::optional<Expr> typed = TypeKind(expr);
    --depth_;
    return typed;
  }

 private:
  std::optional<Expr> TypeKind(const ast::Expr& expr) {
    switch (expr.kind) {
      case ast::Expr::Kind::kTruth:
        return Truth(expr.truth, expr.span);
      case ast::Expr::Kind::kName:
        return TypeName(expr);
      case ast::Expr::Kind::kTest:
        if (IsDeep(context_, *expr.test)) return TypeDeep(*expr.test, expr.span);
        return TypeTest(*expr.test, expr.span);
      case ast::Expr::Kind::kAnd:
        return TypeChildren(expr, Expr::Kind::kAnd);
      case ast::Expr::Kind::kOr:
        return TypeChildren(expr, Expr::Kind::kOr);
      case ast::Expr::Kind::kNot:
        return TypeChildren(expr, Expr::Kind::kNot);
    }
    return std::nullopt;
  }

  static Expr Truth(bool truth, base::Span span) {
    Expr expr;
    expr.truth = truth;
    expr.span = span;
    return expr;
  }

  std::optional<Expr> TypeChildren(const ast::Expr& expr, Expr::Kind kind) {
    Expr typed;
    typed.kind = kind;
    typed.span = expr.span;
    bool ok = true;
    for (const ast::Expr& child : expr.children) {
      std::optional<Expr> one = Type(child);
      if (one) {
        typed.children.push_back(std::move(*one));
      } else {
        ok = false;
      }
      if (context_.budget.used_up()) return std::nullopt;
    }
    if (!ok) return std::nullopt;
    return typed;
  }

  std::optional<Expr> TypeName(const ast::Expr& expr) {
    if (!context_.KnowsLet(expr.name)) {
      bool is_argument = context_.signature && abi::FindArgument(*context_.signature, expr.name);
      context_.report.Error(
          expr.span,
          is_argument ? fmt::format("'{}' alone is not a test", expr.name)
                      : fmt::format("there is no `let {}`", expr.name),
          is_argument ? std::vector<base::Note>{{fmt::format("write `{} != 0`", expr.name), {}}}
                      : std::vector<base::Note>{});
      return std::nullopt;
    }
    const ast::Let* let = context_.FindLet(expr.name, expr.span);
    if (let == nullptr) return std::nullopt;
    return TypeLet(expr, *let);
  }

  std::optional<Expr> TypeWithin(const ast::Expr& use, const ast::Expr& body) {
    context_.report.EnterLet(use.name, use.span);
    std::optional<Expr> typed = Type(body);
    context_.report.LeaveLet();
    return typed;
  }

  std::optional<Expr> TypeLet(const ast::Expr& use, const ast::Let& let) {
    if (let.kind == ast::Let::Kind::kExpr) return TypeWithin(use, let.expr);
    // `let always = 1` and `let same = other` look like values.
    if (let.kind == ast::Let::Kind::kValue && let.value.terms.size() == 1) {
      const ast::Term& term = let.value.terms.front();
      bool truth = term.kind == ast::Term::Kind::kNumber && (term.text == "0" || term.text == "1");
      if (truth) return Truth(term.text == "1", use.span);
      if (term.kind == ast::Term::Kind::kName && context_.KnowsLet(term.text)) {
        ast::Expr other;
        other.kind = ast::Expr::Kind::kName;
        other.name = term.text;
        other.span = term.span;
        return TypeWithin(use, other);
      }
    }
    context_.report.Error(use.span,
                          fmt::format("'{}' is {}, not a test", use.name,
                                      let.kind == ast::Let::Kind::kSet ? "a set" : "a value"));
    return std::nullopt;
  }

  std::optional<Expr> TypeTest(const ast::Test& test, base::Span span) {
    std::optional<Subject> subject = TypeOperand(context_, test);
    if (!subject) return std::nullopt;
    return TypeNumber(test, std::move(*subject), span);
  }

  std::optional<Expr> TypeDeep(const ast::Test& test, base::Span span) {
    std::unique_ptr<DeepOperand> operand = TypeDeepOperand(context_, test);
    if (operand == nullptr) return std::nullopt;
    Expr expr;
    expr.kind = Expr::Kind::kDeep;
    expr.span = span;
    if (operand->is_number) {
      std::optional<Expr> number = TypeNumber(test, operand->number, span);
      if (!number) return std::nullopt;
      expr.children.push_back(std::move(*number));
      expr.deep = std::make_shared<DeepTest>(
          DeepTest{.subject = operand->subject, .match = DeepTest::Match::kNumber});
    } else {
      std::optional<DeepTest> typed = TypeDeepText(context_, test, *operand);
      if (!typed) return std::nullopt;
      expr.deep = std::make_shared<DeepTest>(std::move(*typed));
    }
    return IsOfAddress(operand->subject) ? UnlessNull(std::move(expr)) : expr;
  }

  // Of an address that a register points to.
  static bool IsOfAddress(const DeepSubject& subject) {
    using Kind = DeepSubject::Kind;
    bool is_address = subject.kind == Kind::kFamily || subject.kind == Kind::kPort ||
                      subject.kind == Kind::kIp || subject.kind == Kind::kUnixPath ||
                      subject.kind == Kind::kAbstract;
    return is_address && !subject.in_message;
  }

  // No address (send on a connected socket) has no fields; the register tells, so the filter need
  // not ask.
  static Expr UnlessNull(Expr test) {
    Expr present;
    present.kind = Expr::Kind::kCompare;
    present.op = Compare::kNotEqual;
    const DeepSubject& subject = test.deep->subject;
    present.operand.slot = subject.slot;
    present.operand.name = subject.name.substr(0, subject.name.find('.'));
    present.span = test.span;
    Expr both;
    both.kind = Expr::Kind::kAnd;
    both.span = test.span;
    both.children.push_back(std::move(present));
    both.children.push_back(std::move(test));
    return both;
  }

  std::optional<Expr> TypeNumber(const ast::Test& test, Subject subject, base::Span span) {
    Expr expr;
    expr.kind = Expr::Kind::kCompare;
    expr.span = span;
    if (!test.mask.terms.empty()) {
      std::optional<std::uint64_t> mask = TypeMask(context_, subject, test.mask);
      if (!mask) return std::nullopt;
      if (*mask == 0) {
        context_.report.Error(test.mask.span, "this mask has no bits");
        return std::nullopt;
      }
      expr.mask = *mask;
      subject.operand.is_signed = false;
    }
    bool ok = TypeRightSide(test, subject, expr);
    if (!ok) return std::nullopt;
    if (subject.operand.bits < 32) {
      expr.mask &= (std::uint64_t{1} << subject.operand.bits) - 1;
      subject.operand.bits = 32;
      subject.operand.is_signed = false;
    }
    expr.operand = std::move(subject.operand);
    return expr;
  }

  bool TypeRightSide(const ast::Test& test, Subject& subject, Expr& expr) {
    switch (test.op) {
      case ast::Operator::kNonZero:
        expr.op = Compare::kNotEqual;
        return true;
      case ast::Operator::kEqual:
        return TypeEquality(test, subject, expr, Compare::kEqual);
      case ast::Operator::kNotEqual:
        return TypeEquality(test, subject, expr, Compare::kNotEqual);
      case ast::Operator::kLess:
        return TypeOrder(test, subject, expr, Compare::kLess);
      case ast::Operator::kLessEqual:
        return TypeOrder(test, subject, expr, Compare::kLessEqual);
      case ast::Operator::kGreater:
        return TypeOrder(test, subject, expr, Compare::kGreater);
      case ast::Operator::kGreaterEqual:
        return TypeOrder(test, subject, expr, Compare::kGreaterEqual);
      case ast::Operator::kHas:
      case ast::Operator::kOnly:
        return TypeBits(test, subject, expr);
      case ast::Operator::kIn:
      case ast::Operator::kNotIn:
        return TypeMembership(test, subject, expr);
      case ast::Operator::kGlob:
      case ast::Operator::kUnder:
        break;  // deep
    }
    return false;
  }

  bool TypeEquality(const ast::Test& test, const Subject& subject, Expr& expr, Compare op) {
    auto value = TypeEqual(context_, subject, test.value);
    if (!value) return false;
    bool masked = !test.mask.terms.empty();
    if (masked && (*value & ~expr.mask) != 0) {
      context_.report.Error(
          test.value.span,
          fmt::format("{} has bits outside the mask {:#x}; this {}", Print(test.value), expr.mask,
                      op == Compare::kEqual ? "can never match" : "always matches"));
      return false;
    }
    expr.op = op;
    expr.constant = *value;
    return true;
  }

  bool TypeOrder(const ast::Test& test, const Subject& subject, Expr& expr, Compare op) {
    auto value = TypeOrdered(context_, subject, test.value);
    if (!value) return false;
    expr.op = op;
    expr.constant = *value;
    Range domain = DomainOf(subject.operand);
    if (!test.mask.terms.empty()) domain.high = expr.mask;
    bool at_low = *value == domain.low;
    bool past_high = OrdinalOf(*value, subject.operand.is_signed) >=
                     OrdinalOf(domain.high, subject.operand.is_signed);
    bool beyond_high = past_high && *value != domain.high;
    bool never = (op == Compare::kLess && at_low) || (op == Compare::kGreater && past_high) ||
                 (op == Compare::kGreaterEqual && beyond_high);
    bool always = (op == Compare::kGreaterEqual && at_low) ||
                  (op == Compare::kLessEqual && past_high) || (op == Compare::kLess && beyond_high);
    if (never) {
      context_.report.Error(expr.span, fmt::format("{} is {}; this can never match", subject.shown,
                                                   DescribeBounds(subject, domain)));
      return false;
    }
    SayIfAlways(always, expr.span, [&] {
      return fmt::format("{} is {}", subject.shown, DescribeBounds(subject, domain));
    });
    return true;
  }

  static std::string DescribeBounds(const Subject& subject, Range domain) {
    if (subject.operand.is_signed) {
      return fmt::format("{} to {}", static_cast<std::int64_t>(domain.low),
                         static_cast<std::int64_t>(domain.high));
    }
    return fmt::format("0 to {:#x}", domain.high);
  }

  template <typename Describe>
  void SayIfAlways(bool always, base::Span span, Describe describe) {
    if (always) {
      context_.report.Doubt(Report::Reason::kAlwaysTrue, span, "this test is always true",
                            describe());
    } else {
      context_.report.Clear(Report::Reason::kAlwaysTrue, span);
    }
  }

  // `has M`: all bits of M. `only M`: no bit outside M.
  bool TypeBits(const ast::Test& test, Subject& subject, Expr& expr) {
    auto bits = TypeMask(context_, subject, test.value);
    if (!bits) return false;
    std::uint64_t looked_at =
        (subject.operand.bits >= 64 ? UINT64_MAX : (std::uint64_t{1} << subject.operand.bits) - 1) &
        expr.mask;
    subject.operand.is_signed = false;
    expr.op = Compare::kEqual;
    if (test.op == ast::Operator::kHas) {
      if ((*bits & ~looked_at) != 0) {
        context_.report.Error(
            test.value.span, fmt::format("{} has bits outside the mask {:#x}; this can never match",
                                         Print(test.value), expr.mask));
        return false;
      }
      SayIfAlways(*bits == 0, expr.span, [] { return "every value has no bits"; });
      expr.mask = *bits;
      expr.constant = *bits;
    } else {
      std::uint64_t others = looked_at & ~*bits;
      SayIfAlways(others == 0, expr.span, [] { return "all bits are permitted"; });
      expr.mask = others;
      expr.constant = 0;
    }
    if (expr.mask == 0) {
      expr.kind = Expr::Kind::kConstant;
      expr.truth = true;
    }
    return true;
  }

  bool TypeMembership(const ast::Test& test, const Subject& subject, Expr& expr) {
    auto ranges = TypeSet(context_, subject, test.set);
    if (!ranges) return false;
    Range domain = DomainOf(subject.operand);
    bool everything = ranges->size() == 1 && ranges->front() == domain;
    bool negated = test.op == ast::Operator::kNotIn;
    if (everything && negated) {
      context_.report.Error(expr.span, fmt::format("the set has every value of {}; this can never "
                                                   "match",
                                                   subject.shown));
      return false;
    }
    SayIfAlways(everything, expr.span,
                [&] { return fmt::format("the set has every value of {}", subject.shown); });
    expr.kind = Expr::Kind::kIn;
    expr.ranges = std::move(*ranges);
    if (negated) NegateRanges(subject.operand, expr);
    return true;
  }

  // `not in` has no node of its own: what is left of the operand's values.
  static void NegateRanges(const Operand& operand, Expr& expr) {
    std::vector<Range> ordinals;
    for (Range range : expr.ranges) {
      ordinals.push_back(
          {OrdinalOf(range.low, operand.is_signed), OrdinalOf(range.high, operand.is_signed)});
    }
    RangeSet rest = RangeSet::Of(std::move(ordinals)).ComplementIn(RangeSet::All(operand));
    expr.ranges.clear();
    for (Range range : rest.ranges()) {
      expr.ranges.push_back(
          {OrdinalOf(range.low, operand.is_signed), OrdinalOf(range.high, operand.is_signed)});
    }
  }

  const TypeContext& context_;
  int depth_ = 0;
};

}  // namespace

std::optional<Expr> TypeExpr(const TypeContext& context, const ast::Expr& expr) {
  return ExprTyper(context).Type(expr);
}

}  // namespace callgate::policy
