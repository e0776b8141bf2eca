#include "bpf/mnemonics.h"

#include <fmt/format.h>

#include <utility>

namespace callgate::bpf {
namespace {

using Twist = Mnemonic::Twist;

constexpr Mnemonic kAliases[] = {
    {"jmp", "ja", Twist::kNone},           {"jne", "jeq", Twist::kSwapped},
    {"jneq", "jeq", Twist::kSwapped},      {"jlt", "jge", Twist::kSwapped},
    {"jle", "jgt", Twist::kSwapped},       {"ldi", "ld", Twist::kBareConstant},
    {"ldxi", "ldx", Twist::kBareConstant},
};

// As it is written behind the mnemonic.
std::string_view OperandForm(Operand operand) {
  switch (operand) {
    case Operand::kNone:
    case Operand::kImplicitA:
    case Operand::kImplicitX:
      return "";
    case Operand::kConstant:
      return " #k";
    case Operand::kIndex:
      return " x";
    case Operand::kAccumulator:
      return " a";
    case Operand::kWord:
      return " [k]";
    case Operand::kLength:
      return " #len";
    case Operand::kCell:
      return " M[k]";
    case Operand::kTarget:
      return " label";
    case Operand::kIndexed:
      return " [x+k]";
    case Operand::kIpHeader:
      return " 4*([k]&0xf)";
  }
  std::unreachable();
}

// tax and txa have their operands in their names.
bool IsWrittenAs(Operand operand, Operand written) {
  const bool is_unwritten = OperandForm(operand).empty();
  return is_unwritten ? written == Operand::kNone : operand == written;
}

// bpf_asm reads "ldx 4*([14]&0xf)" and "ldxb 4*([14]&0xf)" alike.
bool IsRowOf(const OpcodeInfo& info, const Mnemonic& mnemonic) {
  if (mnemonic.twist == Twist::kBareConstant && info.operand != Operand::kConstant) return false;
  return info.mnemonic == mnemonic.row || (mnemonic.row == "ldx" && info.mnemonic == "ldxb");
}

}  // namespace

std::optional<Mnemonic> FindMnemonic(std::string_view name) {
  for (const Mnemonic& alias : kAliases) {
    if (alias.name == name) return alias;
  }
  for (const OpcodeInfo& info : AllOpcodes()) {
    if (info.mnemonic == name) return Mnemonic{info.mnemonic, info.mnemonic, Twist::kNone};
  }
  return std::nullopt;
}

const OpcodeInfo* FindRow(const Mnemonic& mnemonic, Operand written) {
  for (const OpcodeInfo& info : AllOpcodes()) {
    if (IsRowOf(info, mnemonic) && IsWrittenAs(info.operand, written)) return &info;
  }
  return nullptr;
}

std::string FormsOf(const Mnemonic& mnemonic) {
  std::string forms;
  for (const OpcodeInfo& info : AllOpcodes()) {
    if (!IsRowOf(info, mnemonic)) continue;
    if (!forms.empty()) forms += " or ";
    forms += fmt::format("{}{}", mnemonic.name, OperandForm(info.operand));
    if (info.effect == Effect::kJump) {
      forms += mnemonic.twist == Twist::kSwapped ? ", label" : ", label, label";
    }
  }
  return forms;
}

void OfferMnemonics(base::NearestName& nearest) {
  for (const Mnemonic& alias : kAliases) nearest.Offer(alias.name);
  for (const OpcodeInfo& info : AllOpcodes()) nearest.Offer(info.mnemonic);
}

}  // namespace callgate::bpf
