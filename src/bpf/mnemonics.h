#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/nearest.h"
#include "bpf/opcodes.h"

namespace callgate::bpf {

// The words of filter assembly. There is no list of instructions here but the opcode table: a
// mnemonic and the form of its operand name a row of it. bpf_asm has other words for some rows; jlt
// is jge with its two ways changed over, and so on.
struct Mnemonic {
  enum class Twist : std::uint8_t {
    kNone,
    kSwapped,       // its one label is the way when the row's condition fails
    kBareConstant,  // a constant alone, the '#' before it may be missing
  };

  std::string_view name;
  std::string_view row;  // OpcodeInfo::mnemonic
  Twist twist = Twist::kNone;
};

// `name` in lower case.
std::optional<Mnemonic> FindMnemonic(std::string_view name);

// The row for an operand of this form; kNone: nothing is written. nullptr: there is none.
const OpcodeInfo* FindRow(const Mnemonic& mnemonic, Operand written);

// "jeq #k, label, label or jeq x, label, label"
std::string FormsOf(const Mnemonic& mnemonic);

void OfferMnemonics(base::NearestName& nearest);

}  // namespace callgate::bpf
