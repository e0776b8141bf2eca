#include "policy/type_value.h"

#include <algorithm>
#include <utility>

#include "abi/constants.h"
#include "base/nearest.h"
#include "policy/print.h"
#include "policy/ranges.h"

namespace callgate::policy {
namespace {

struct Number {
  std::uint64_t bits = 0;    // two's complement, 64 bits
  bool is_negative = false;  // bits stand for a negative number
  bool is_pattern = true;
};

std::uint64_t MaskOf(const Operand& operand) {
  return operand.bits >= 64 ? UINT64_MAX : (std::uint64_t{1} << operand.bits) - 1;
}

std::string Quoted(const ast::Value& value, std::uint64_t bits) {
  std::string text = Print(value);
  bool plain = value.terms.size() == 1 && value.terms.front().kind == ast::Term::Kind::kNumber;
  return plain ? text : fmt::format("{} ({:#x})", text, bits);
}

void ReportUnknownConstant(const TypeContext& context, const Subject& subject,
                           const ast::Term& term) {
  std::string_view arch = abi::ArchOf(context.arch).name;
  if (abi::IsKnownConstantName(term.text)) {
    std::vector<base::Note> notes;
    notes.push_back({"give the ABIs rules of their own, or write its number", {}});
    context.report.Error(term.span,
                         fmt::format("the constant {} is not defined on {}", term.text, arch),
                         std::move(notes));
    return;
  }
  std::vector<base::Note> notes;
  if (context.signature && abi::FindArgument(*context.signature, term.text)) {
    notes.push_back({"a test compares an argument with a constant, not with another argument", {}});
  } else if (!context.report.IsFull()) {
    // The argument's own names first: of two equally near ones the first offered stays.
    base::NearestName nearest(term.text);
    if (subject.argument != nullptr) {
      for (std::string_view set : {subject.argument->set, subject.argument->flags_set}) {
        if (set.empty()) continue;
        for (const auto& constant : abi::ConstantsOf(context.arch, set)) {
          nearest.Offer(constant.name);
        }
      }
    }
    for (const auto& [name, let] : context.lets) nearest.Offer(name);
    for (std::string_view name : abi::AllConstantNames()) nearest.Offer(name);
    if (auto best = nearest.Best()) notes.push_back({fmt::format("did you mean '{}'?", *best), {}});
  }
  context.report.Error(term.span, fmt::format("unknown constant '{}'", term.text),
                       std::move(notes));
}

class ValueReader {
 public:
  ValueReader(const TypeContext& context, const Subject& subject)
      : context_(context), subject_(subject) {}

  std::optional<Number> Read(const ast::Value& value) {
    if (value.terms.size() == 1) return ReadTerm(value.terms.front());
    Number joined;
    for (const ast::Term& term : value.terms) {
      std::optional<Number> number = ReadTerm(term);
      if (!number) return std::nullopt;
      joined.bits |= number->bits;
      joined.is_negative |= number->is_negative;
    }
    return joined;
  }

 private:
  std::optional<Number> ReadTerm(const ast::Term& term) {
    if (!context_.budget.TakeTerm(term.span, context_.report)) return std::nullopt;
    switch (term.kind) {
      case ast::Term::Kind::kNumber:
        return Number{term.number, term.is_negative, !term.is_decimal};
      case ast::Term::Kind::kDevice:
        return Number{term.number, false, true};
      case ast::Term::Kind::kName:
        return ReadName(term);
      case ast::Term::Kind::kString:
      case ast::Term::Kind::kAddress:
        context_.report.Error(
            term.span,
            fmt::format("{} is a number; it cannot be compared with {}", subject_.shown,
                        term.kind == ast::Term::Kind::kString ? "a string" : "an address"));
        return std::nullopt;
    }
    return std::nullopt;
  }

  std::optional<Number> ReadName(const ast::Term& term) {
    if (context_.KnowsLet(term.text)) {
      const ast::Let* let = context_.FindLet(term.text, term.span);
      if (let == nullptr) return std::nullopt;
      if (let->kind != ast::Let::Kind::kValue) {
        context_.report.Error(
            term.span,
            fmt::format("'{}' is {}, not a value", term.text,
                        let->kind == ast::Let::Kind::kSet ? "a set (write `in`)" : "a test"),
            {{"it is defined here", let->name_span}});
        return std::nullopt;
      }
      // Lets use only lets above them, so this ends; but it may be deep.
      if (depth_ == kMaxExprDepth) {
        context_.report.Error(term.span,
                              fmt::format("lets are nested more than {} deep", kMaxExprDepth));
        return std::nullopt;
      }
      ++depth_;
      context_.report.EnterLet(term.text, term.span);
      std::optional<Number> number = Read(let->value);
      context_.report.LeaveLet();
      --depth_;
      return number;
    }
    std::string_view set = subject_.argument != nullptr ? subject_.argument->set : "";
    auto bits = abi::FindConstant(context_.arch, term.text, set);
    if (!bits) {
      ReportUnknownConstant(context_, subject_, term);
      return std::nullopt;
    }
    return Number{*bits, static_cast<std::int64_t>(*bits) < 0, true};
  }

  const TypeContext& context_;
  const Subject& subject_;
  int depth_ = 0;
};

// What `int` can hold, for messages.
std::string DescribeDomain(const Operand& operand) {
  Range domain = DomainOf(operand);
  if (!operand.is_signed) return fmt::format("0 to {:#x}", domain.high);
  return fmt::format("{} to {}", static_cast<std::int64_t>(domain.low),
                     static_cast<std::int64_t>(domain.high));
}

void ReportTooWide(const TypeContext& context, const Subject& subject, const ast::Value& value,
                   std::uint64_t bits) {
  context.report.Error(value.span,
                       fmt::format("{} is {} bits wide; {} can never match", subject.shown,
                                   subject.operand.bits, Quoted(value, bits)));
}

// Does the pattern fit, zero- or sign-extended?
bool Fits(const Number& number, const Operand& operand) {
  if (operand.bits >= 64) return true;
  std::uint64_t mask = MaskOf(operand);
  bool zero_extended = (number.bits & ~mask) == 0;
  bool sign_extended = number.is_negative && (number.bits | (mask >> 1U)) == UINT64_MAX;
  return zero_extended || sign_extended;
}

std::uint64_t Extend(std::uint64_t bits, const Operand& operand) {
  if (operand.bits >= 64) return bits;
  std::uint64_t mask = MaskOf(operand);
  bool sign = operand.is_signed && (bits & (mask / 2 + 1)) != 0;
  return sign ? bits | ~mask : bits & mask;
}

}  // namespace

std::optional<std::uint64_t> TypeEqual(const TypeContext& context, const Subject& subject,
                                       const ast::Value& value) {
  std::optional<Number> number = ValueReader(context, subject).Read(value);
  if (!number) return std::nullopt;
  const Operand& operand = subject.operand;
  if (!Fits(*number, operand)) {
    ReportTooWide(context, subject, value, number->bits);
    return std::nullopt;
  }
  std::uint64_t extended = Extend(number->bits, operand);
  bool wraps = !number->is_pattern && !number->is_negative && extended != number->bits;
  bool wraps_64 = operand.is_signed && operand.bits >= 64 && !number->is_pattern &&
                  !number->is_negative && static_cast<std::int64_t>(number->bits) < 0;
  if (wraps || wraps_64) {
    context.report.Error(
        value.span,
        fmt::format("{} is signed, {}; {} can never match", subject.shown, DescribeDomain(operand),
                    Print(value)),
        {{fmt::format("write {} or {:#x}", static_cast<std::int64_t>(extended), number->bits),
          {}}});
    return std::nullopt;
  }
  return extended;
}

std::optional<std::uint64_t> TypeOrdered(const TypeContext& context, const Subject& subject,
                                         const ast::Value& value) {
  std::optional<Number> number = ValueReader(context, subject).Read(value);
  if (!number) return std::nullopt;
  const Operand& operand = subject.operand;
  if (!Fits(*number, operand)) {
    context.report.Error(
        value.span,
        fmt::format("{} is {} bits wide, {}; {} is outside", subject.shown, operand.bits,
                    DescribeDomain(operand), Quoted(value, number->bits)));
    return std::nullopt;
  }
  std::uint64_t extended = Extend(number->bits, operand);
  bool reads_negative = static_cast<std::int64_t>(extended) < 0;
  if (operand.is_signed && !number->is_negative && reads_negative) {
    context.report.Error(value.span,
                         fmt::format("{} is signed, {}; {} is outside", subject.shown,
                                     DescribeDomain(operand), Quoted(value, number->bits)));
    return std::nullopt;
  }
  if (!operand.is_signed && number->is_negative) {
    context.report.Error(value.span,
                         fmt::format("{} is unsigned; it is never less than 0", subject.shown));
    return std::nullopt;
  }
  return extended;
}

std::optional<std::uint64_t> TypeMask(const TypeContext& context, const Subject& subject,
                                      const ast::Value& value) {
  std::optional<Number> number = ValueReader(context, subject).Read(value);
  if (!number) return std::nullopt;
  if (!Fits(*number, subject.operand)) {
    context.report.Error(
        value.span, fmt::format("{} is {} bits wide; {} has bits that are never set", subject.shown,
                                subject.operand.bits, Quoted(value, number->bits)));
    return std::nullopt;
  }
  return number->bits & MaskOf(subject.operand);
}

namespace {

class SetReader {
 public:
  SetReader(const TypeContext& context, const Subject& subject)
      : context_(context), subject_(subject) {}

  bool Read(const std::vector<ast::SetElement>& set) {
    bool ok = true;
    // Every element is looked at, so that all mistakes of a set are shown.
    for (const ast::SetElement& element : set) {
      if (context_.budget.used_up()) return false;
      ok &= ReadElement(element);
    }
    return ok;
  }

  std::vector<Range> Take() {
    bool is_signed = subject_.operand.is_signed;
    std::vector<Range> result;
    RangeSet merged = RangeSet::Of(std::move(ordinals_));
    for (Range range : merged.ranges()) {
      result.push_back({OrdinalOf(range.low, is_signed), OrdinalOf(range.high, is_signed)});
    }
    return result;
  }

 private:
  bool ReadElement(const ast::SetElement& element) {
    if (const ast::Let* let = NestedSet(element)) {
      if (depth_ == kMaxExprDepth) {
        context_.report.Error(element.span,
                              fmt::format("lets are nested more than {} deep", kMaxExprDepth));
        return false;
      }
      ++depth_;
      context_.report.EnterLet(let->name, element.span);
      bool ok = Read(let->set);
      context_.report.LeaveLet();
      --depth_;
      return ok;
    }
    bool is_signed = subject_.operand.is_signed;
    if (element.high.terms.empty()) {
      auto value = TypeEqual(context_, subject_, element.low);
      if (value) ordinals_.push_back({OrdinalOf(*value, is_signed), OrdinalOf(*value, is_signed)});
      return value.has_value();
    }
    auto low = TypeOrdered(context_, subject_, element.low);
    auto high = TypeOrdered(context_, subject_, element.high);
    if (!low || !high) return false;
    Range range{OrdinalOf(*low, is_signed), OrdinalOf(*high, is_signed)};
    if (range.low > range.high) {
      context_.report.Error(element.span, "this range is empty; nothing is in it",
                            {{"the smaller end comes first", {}}});
      return false;
    }
    ordinals_.push_back(range);
    return true;
  }

  const ast::Let* NestedSet(const ast::SetElement& element) const {
    if (!element.high.terms.empty() || element.low.terms.size() != 1) return nullptr;
    const ast::Term& term = element.low.terms.front();
    if (term.kind != ast::Term::Kind::kName || !context_.KnowsLet(term.text)) return nullptr;
    auto found = context_.lets.find(term.text);
    bool is_set = found->second.let->kind == ast::Let::Kind::kSet;
    // A name that names the set it stands in is "defined further down", said by FindLet.
    return is_set ? context_.FindLet(term.text, term.span) : nullptr;
  }

  const TypeContext& context_;
  const Subject& subject_;
  std::vector<Range> ordinals_;
  int depth_ = 0;
};

}  // namespace

std::optional<std::vector<Range>> TypeSet(const TypeContext& context, const Subject& subject,
                                          const std::vector<ast::SetElement>& set) {
  SetReader reader(context, subject);
  if (!reader.Read(set)) return std::nullopt;
  return reader.Take();
}

}  // namespace callgate::policy
