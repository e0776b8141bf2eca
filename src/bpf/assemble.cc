#include "bpf/assemble.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "base/nearest.h"
#include "bpf/assembly_lexer.h"
#include "bpf/mnemonics.h"
#include "bpf/opcodes.h"

// One line, one instruction:
//
//   line    = { LABEL ":" } [ instruction ]
//   instr   = MNEMONIC [ operand ] { "," LABEL } | ".insn" CODE "," JT "," JF "," K
//   operand = "#" NUMBER | NUMBER | [ "#" ] "len" | [ "%" ] "x" | [ "%" ] "a" | "M" "[" NUMBER "]"
//           | "[" NUMBER "]" | "[" [ "%" ] "x" "+" NUMBER "]" | "4" "*" "(" "[" NUMBER "]" "&"
//           NUMBER ")"
//
// A mnemonic and the form of its operand name a row of the opcode table (mnemonics.h). A jump names
// two labels, or one and falls through otherwise. Upper and lower case are alike in mnemonics and
// registers, not in labels.
//
// After an error the rest of the line is left alone and its instruction counted, so that one slip
// does not make every distance behind it wrong. Labels are looked up when all lines have been read.

namespace callgate::bpf {
namespace {

using Token = AssemblyToken;
using Kind = AssemblyToken::Kind;
using Twist = Mnemonic::Twist;

constexpr std::string_view kRaw = ".insn";

std::string Lower(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return lower;
}

class Parser {
 public:
  Parser(const base::SourceMap& sources, base::FileId file, base::Diagnostics& diagnostics)
      : text_(sources.text(file)),
        tokens_(LexAssembly(sources, file, diagnostics)),
        diagnostics_(diagnostics) {}

  std::optional<Assembly> Run() {
    while (!At(Kind::kEnd)) Line();
    for (const auto& [name, label] : labels_) {
      if (label.pc < assembly_.program.size()) continue;
      Fail(label.span, fmt::format("no instruction follows the label '{}'", name));
    }
    for (const Jump& jump : jumps_) Resolve(jump);
    diagnostics_.SortByPlace();
    if (diagnostics_.HasErrors()) return std::nullopt;
    return std::move(assembly_);
  }

 private:
  enum class Field : std::uint8_t { kTrue, kFalse, kAlways };
  struct Label {
    std::size_t pc;
    base::Span span;
  };
  struct Jump {
    std::size_t pc;
    Field field;
    base::Span span;  // the label as it is written there
  };
  struct ParsedOperand {
    Operand form = Operand::kNone;
    std::uint32_t k = 0;
  };

  const Token& Peek(std::size_t ahead = 0) const {
    return tokens_[std::min(position_ + ahead, tokens_.size() - 1)];
  }
  bool At(Kind kind) const { return Peek().kind == kind; }
  bool AtMark(char mark, std::size_t ahead = 0) const {
    return Peek(ahead).kind == Kind::kMark && Peek(ahead).mark == mark;
  }
  bool AtWord(std::string_view word) const { return At(Kind::kWord) && Lower(Text()) == word; }
  bool AtLineEnd() const { return At(Kind::kNewline) || At(Kind::kEnd); }
  std::string_view Slice(base::Span span) const {
    return text_.substr(span.begin, span.end - span.begin);
  }
  std::string_view Text() const { return Slice(Peek().span); }
  void Take() { ++position_; }
  bool TryMark(char mark) {
    if (!AtMark(mark)) return false;
    Take();
    return true;
  }
  bool TryWord(std::string_view word) {
    if (!AtWord(word)) return false;
    Take();
    return true;
  }

  // False, so that a caller can report and give up in one step.
  bool Fail(base::Span span, std::string message, std::string note = {}) {
    base::Diagnostic& diagnostic = diagnostics_.Error(span, std::move(message));
    if (!note.empty()) diagnostic.notes.push_back({std::move(note), {}});
    return false;
  }
  bool FailExpected(std::string_view what, std::string note = {}) {
    const std::string found = AtLineEnd() ? "the end of the line" : fmt::format("'{}'", Text());
    return Fail(Peek().span, fmt::format("expected {}, found {}", what, found), std::move(note));
  }
  bool Expect(char mark) { return TryMark(mark) || FailExpected(fmt::format("'{}'", mark)); }

  void Line() {
    while (At(Kind::kWord) && AtMark(':', 1)) {
      const base::Span span = Peek().span;
      const auto [at, is_new] =
          labels_.try_emplace(std::string(Slice(span)), assembly_.program.size(), span);
      if (!is_new) {
        diagnostics_.Error(span, fmt::format("the label '{}' is there already", at->first))
            .notes.push_back({"first here", at->second.span});
      }
      Take();
      Take();
    }
    if (!AtLineEnd()) {
      const base::Span begin = Peek().span;
      assembly_.program.emplace_back();
      if (ParseInstruction() && !AtLineEnd()) FailExpected("the end of the line");
      while (!AtLineEnd()) Take();
      assembly_.lines.push_back(base::Join(begin, tokens_[position_ - 1].span));
    }
    if (At(Kind::kNewline)) Take();
  }

  bool ParseInstruction() {
    if (!At(Kind::kWord)) return FailExpected("an instruction");
    const base::Span span = Peek().span;
    const std::string name = Lower(Text());
    Take();
    if (name == kRaw) return ParseRaw();
    const auto mnemonic = FindMnemonic(name);
    if (!mnemonic) return FailUnknown(span, name);

    ParsedOperand operand;
    const base::Span operand_begin = Peek().span;
    if (mnemonic->row == "ja") {
      operand.form = Operand::kTarget;
      if (!ParseLabel(Field::kAlways)) return false;
    } else if (!ParseOperand(operand, *mnemonic)) {
      return false;
    }
    const OpcodeInfo* info = FindRow(*mnemonic, operand.form);
    if (info == nullptr) {
      const bool is_missing = operand.form == Operand::kNone;
      const base::Span end = is_missing ? operand_begin : tokens_[position_ - 1].span;
      return Fail(base::Join(operand_begin, end),
                  is_missing ? fmt::format("'{}' needs an operand", name)
                             : fmt::format("'{}' has no such operand", name),
                  fmt::format("write {}", FormsOf(*mnemonic)));
    }
    Instruction& instruction = assembly_.program.back();
    instruction.code = static_cast<std::uint16_t>(info->opcode);
    instruction.k = operand.k;
    return info->effect != Effect::kJump || ParseWays(mnemonic->twist);
  }

  // .insn 0x0015, 1, 2, 0x3
  bool ParseRaw() {
    constexpr std::pair<std::string_view, std::uint32_t> kFields[] = {
        {"code", UINT16_MAX}, {"jt", UINT8_MAX}, {"jf", UINT8_MAX}, {"k", UINT32_MAX}};
    std::array<std::uint32_t, 4> values{};
    for (std::size_t i = 0; i < values.size(); ++i) {
      if (i > 0 && !Expect(',')) return false;
      if (!At(Kind::kNumber)) {
        return FailExpected(fmt::format("'{}', a number", kFields[i].first),
                            "write .insn code, jt, jf, k");
      }
      values[i] = Peek().value;
      if (values[i] > kFields[i].second) {
        return Fail(Peek().span,
                    fmt::format("'{}' is at most {:#x}", kFields[i].first, kFields[i].second));
      }
      Take();
    }
    assembly_.program.back() = {static_cast<std::uint16_t>(values[0]),
                                static_cast<std::uint8_t>(values[1]),
                                static_cast<std::uint8_t>(values[2]), values[3]};
    return true;
  }

  bool FailUnknown(base::Span span, std::string_view name) {
    base::NearestName nearest(name);
    OfferMnemonics(nearest);
    nearest.Offer(kRaw);
    const auto best = nearest.Best();
    return Fail(span, fmt::format("unknown instruction '{}'", name),
                best ? fmt::format("did you mean '{}'?", *best) : "");
  }

  bool ParseNumber(std::uint32_t& value) {
    const bool is_negative = AtMark('-');
    if ((is_negative || AtMark('+')) && Peek(1).kind == Kind::kNumber) Take();
    if (!At(Kind::kNumber)) return FailExpected("a number");
    value = Peek().value;
    if (is_negative) {
      if (value > 0x80000000U) {
        return Fail(Peek().span, fmt::format("-{} does not fit 32 bits", Text()));
      }
      value = 0U - value;
    }
    Take();
    return true;
  }

  bool ParseOperand(ParsedOperand& operand, const Mnemonic& mnemonic) {
    if (AtLineEnd()) return true;
    if (TryMark('#')) {
      operand.form = TryWord("len") ? Operand::kLength : Operand::kConstant;
      return operand.form == Operand::kLength || ParseNumber(operand.k);
    }
    if (TryMark('[')) return ParseLoad(operand);
    if (TryWord("len")) {
      operand.form = Operand::kLength;
      return true;
    }
    if (TryWord("m")) {
      operand.form = Operand::kCell;
      return Expect('[') && ParseNumber(operand.k) && Expect(']');
    }
    if (At(Kind::kNumber) && Peek().value == 4 && AtMark('*', 1)) return ParseIpHeader(operand);
    if (mnemonic.twist == Twist::kBareConstant && !At(Kind::kWord)) {
      operand.form = Operand::kConstant;
      return ParseNumber(operand.k);
    }
    TryMark('%');
    if (TryWord("x")) {
      operand.form = Operand::kIndex;
      return true;
    }
    if (TryWord("a")) {
      operand.form = Operand::kAccumulator;
      return true;
    }
    return FailExpected(fmt::format("an operand of '{}'", mnemonic.name),
                        fmt::format("write {}", FormsOf(mnemonic)));
  }

  // Behind '['.
  bool ParseLoad(ParsedOperand& operand) {
    operand.form = Operand::kWord;
    if (AtMark('%') || AtWord("x")) {
      operand.form = Operand::kIndexed;
      TryMark('%');
      if (!TryWord("x")) return FailExpected("'x'");
      if (!Expect('+')) return false;
    }
    return ParseNumber(operand.k) && Expect(']');
  }

  // 4*([14]&0xf)
  bool ParseIpHeader(ParsedOperand& operand) {
    operand.form = Operand::kIpHeader;
    Take();
    std::uint32_t mask = 0;
    if (!Expect('*') || !Expect('(') || !Expect('[') || !ParseNumber(operand.k) || !Expect(']') ||
        !Expect('&')) {
      return false;
    }
    const base::Span span = Peek().span;
    if (!ParseNumber(mask) || !Expect(')')) return false;
    return mask == 0xf || Fail(span, "the mask of a header length is 0xf");
  }

  // ", lt, lf", ", lt", or ", lf" alone where the condition is turned round.
  bool ParseWays(Twist twist) {
    if (!Expect(',')) return false;
    if (!ParseLabel(twist == Twist::kSwapped ? Field::kFalse : Field::kTrue)) return false;
    if (twist == Twist::kSwapped || !TryMark(',')) return true;
    return ParseLabel(Field::kFalse);
  }

  bool ParseLabel(Field field) {
    if (!At(Kind::kWord)) return FailExpected("a label");
    jumps_.push_back({assembly_.program.size() - 1, field, Peek().span});
    Take();
    return true;
  }

  void Resolve(const Jump& jump) {
    const std::string_view name = Slice(jump.span);
    const auto at = labels_.find(name);
    if (at == labels_.end()) {
      if (diagnostics_.IsFull()) {
        Fail(jump.span, {});  // only counted: no search for a similar name
        return;
      }
      base::NearestName nearest(name);
      for (const auto& [other, label] : labels_) nearest.Offer(other);
      const auto best = nearest.Best();
      Fail(jump.span, fmt::format("there is no label '{}'", name),
           best ? fmt::format("did you mean '{}'?", *best) : "");
      return;
    }
    const std::size_t target = at->second.pc;
    if (target <= jump.pc) {
      diagnostics_
          .Error(jump.span, fmt::format("'{}' is not below; a filter jumps forward only", name))
          .notes.push_back({"the label is here", at->second.span});
      return;
    }
    const std::size_t distance = target - jump.pc - 1;
    Instruction& instruction = assembly_.program[jump.pc];
    if (jump.field == Field::kAlways) {
      instruction.k = static_cast<std::uint32_t>(distance);
    } else if (distance > UINT8_MAX) {
      Fail(jump.span,
           fmt::format("'{}' is {} instructions away; a conditional jump skips {} at most", name,
                       distance, UINT8_MAX),
           fmt::format("jump to a nearer 'ja {}'", name));
    } else {
      (jump.field == Field::kTrue ? instruction.jt : instruction.jf) =
          static_cast<std::uint8_t>(distance);
    }
  }

  std::string_view text_;
  std::vector<Token> tokens_;
  base::Diagnostics& diagnostics_;
  std::size_t position_ = 0;
  Assembly assembly_;
  std::map<std::string, Label, std::less<>> labels_;
  std::vector<Jump> jumps_;
};

}  // namespace

std::optional<Assembly> Assemble(const base::SourceMap& sources, base::FileId file,
                                 base::Diagnostics& diagnostics) {
  return Parser(sources, file, diagnostics).Run();
}

}  // namespace callgate::bpf
