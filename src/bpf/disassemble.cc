#include "bpf/disassemble.h"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "abi/action.h"
#include "abi/arch.h"
#include "abi/call.h"
#include "abi/syscalls.h"
#include "bpf/opcodes.h"
#include "bpf/text.h"

// A number in a filter means something only if one knows what it is compared with, and for which
// ABI. So the listing follows the program once: for each instruction, what A holds (a word of the
// call under a mask, or something unnamed) and which arch the way here has established. Jumps go
// forward only, so one pass in order sees every instruction after all of its predecessors. Where
// ways meet that disagree, nothing is known and the comment stays away: a comment may be missing,
// never wrong. A filter that asks for one ABI alone may ask late, where the answer matters
// (codegen/sink_arch.h): until it has asked, numbers are named as that ABI names them.

namespace callgate::bpf {
namespace {

// What A holds: a word of the call, some of its bits cleared.
struct MaskedWord {
  std::uint8_t word = 0;
  std::uint32_t mask = UINT32_MAX;

  bool operator==(const MaskedWord&) const = default;
  bool IsWhole(std::uint8_t which) const { return word == which && mask == UINT32_MAX; }
};

// What is known where an instruction starts.
struct Known {
  std::optional<MaskedWord> a;
  std::optional<std::uint32_t> audit_arch;
};

// nullopt: no way leads there.
using Facts = std::vector<std::optional<Known>>;

void Join(std::optional<Known>& at, const Known& incoming) {
  if (!at) {
    at = incoming;
    return;
  }
  if (at->a != incoming.a) at->a.reset();
  if (at->audit_arch != incoming.audit_arch) at->audit_arch.reset();
}

// A after an instruction that goes on to the next one.
std::optional<MaskedWord> After(const Instruction& instruction, const OpcodeInfo& info,
                                std::optional<MaskedWord> a) {
  if (info.opcode == Opcode::kLdAbs && instruction.k % 4 == 0 && instruction.k < kDataLength) {
    return MaskedWord{static_cast<std::uint8_t>(instruction.k / 4), UINT32_MAX};
  }
  if (info.opcode == Opcode::kAndK && a) return MaskedWord{a->word, a->mask & instruction.k};
  const bool writes_a = info.effect == Effect::kLoadA || info.effect == Effect::kAlu;
  return writes_a ? std::nullopt : a;
}

// `assumed`: the AUDIT_ARCH of the calls that the program has not asked about yet.
Facts Follow(ProgramView program, std::optional<std::uint32_t> assumed = std::nullopt) {
  Facts facts(program.size());
  auto flow = [&](std::uint64_t target, const Known& known) {
    if (target < program.size()) Join(facts[target], known);
  };
  flow(0, {std::nullopt, assumed});
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    const Instruction& instruction = program[pc];
    const OpcodeInfo* info = FindOpcode(instruction.code);
    if (!facts[pc] || info == nullptr) continue;
    const Known& known = *facts[pc];
    switch (info->effect) {
      case Effect::kReturn:
        break;
      case Effect::kJumpAlways:
        flow(std::uint64_t{pc} + 1 + instruction.k, known);
        break;
      case Effect::kJump: {
        Known taken = known;
        Known other = known;
        if (info->opcode == Opcode::kJeqK && known.a && known.a->IsWhole(abi::kArchWord)) {
          taken.audit_arch = instruction.k;
          other.audit_arch.reset();
        }
        flow(pc + 1 + instruction.jt, taken);
        flow(pc + 1 + instruction.jf, other);
        break;
      }
      default:
        flow(pc + 1, {After(instruction, *info, known.a), known.audit_arch});
        break;
    }
  }
  return facts;
}

const abi::Arch* ArchOfAudit(std::uint32_t audit_arch) {
  for (const abi::Arch& arch : abi::AllArches()) {
    if (arch.audit_arch == audit_arch) return &arch;
  }
  return nullptr;
}

// The AUDIT_ARCH values that the program asks for, as often as it does.
std::vector<std::uint32_t> ArchesAskedFor(ProgramView program) {
  const Facts facts = Follow(program);
  std::vector<std::uint32_t> arches;
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    if (program[pc].code != static_cast<std::uint16_t>(Opcode::kJeqK)) continue;
    if (!facts[pc] || !facts[pc]->a || !facts[pc]->a->IsWhole(abi::kArchWord)) continue;
    arches.push_back(program[pc].k);
  }
  return arches;
}

// Which half of a 64-bit field comes first is the machine's choice, and a filter is for one
// machine: the first ABI that it tests for tells, else it is taken to be for this one.
std::endian OrderOf(std::span<const std::uint32_t> arches) {
  for (const std::uint32_t audit_arch : arches) {
    if (const abi::Arch* arch = ArchOfAudit(audit_arch)) return arch->endian;
  }
  return std::endian::native;
}

std::string WordName(std::uint8_t word, std::endian order) {
  if (word == abi::kNrWord) return "nr";
  if (word == abi::kArchWord) return "arch";
  if (word == abi::IpLowWord(order)) return "ip.lo";
  if (word == abi::IpHighWord(order)) return "ip.hi";
  const int index = (word - abi::ArgLowWord(0, std::endian::little)) / 2;
  return fmt::format("arg{}.{}", index, word == abi::ArgLowWord(index, order) ? "lo" : "hi");
}

// Is the constant a system call number? Numbers are read in decimal, masks and values in hex.
bool IsNumber(const Known& known, const Instruction& instruction, const OpcodeInfo& info) {
  return info.effect == Effect::kJump && info.opcode != Opcode::kJsetK && known.a &&
         known.a->IsWhole(abi::kNrWord) && instruction.k < abi::kX32Bit;
}

std::string NrText(std::optional<std::uint32_t> audit_arch, Opcode opcode, std::uint32_t k) {
  const auto nr = static_cast<std::int32_t>(k);
  const auto arch = audit_arch ? abi::ArchOfCall(*audit_arch, nr) : std::nullopt;
  const std::string_view x32 = arch == abi::ArchId::kX32 ? " (x32)" : "";
  // "nr >= 0x40000000" asks for the ABI, not for x32's read.
  const bool is_abi_test = opcode != Opcode::kJeqK && k == abi::kX32Bit;
  if (arch && !is_abi_test) {
    const abi::Syscall* syscall = abi::FindSyscall(*arch, nr);
    if (syscall != nullptr) return fmt::format("{}{}", syscall->name, x32);
  }
  return k < abi::kX32Bit ? fmt::format("{}", k) : fmt::format("{:#x}{}", k, x32);
}

std::string ConstantText(const Known& known, Opcode opcode, std::uint32_t k) {
  if (known.a->IsWhole(abi::kNrWord)) return NrText(known.audit_arch, opcode, k);
  if (known.a->IsWhole(abi::kArchWord)) {
    // x32 has the arch of x86_64, which the tables list first.
    if (const abi::Arch* arch = ArchOfAudit(k)) return std::string(arch->name);
  }
  return fmt::format("{:#x}", k);
}

std::string TestText(const Known& known, const Instruction& instruction, Opcode opcode,
                     std::endian order) {
  std::string left = WordName(known.a->word, order);
  const bool is_masked = known.a->mask != UINT32_MAX;
  if (opcode == Opcode::kJsetK) {
    return fmt::format("({} & {:#x}) != 0", left, known.a->mask & instruction.k);
  }
  if (is_masked) left = fmt::format("({} & {:#x})", left, known.a->mask);
  const std::string_view relation = opcode == Opcode::kJeqK   ? "=="
                                    : opcode == Opcode::kJgtK ? ">"
                                                              : ">=";
  return fmt::format("{} {} {}", left, relation, ConstantText(known, opcode, instruction.k));
}

// Empty: nothing to say that the instruction does not say itself.
std::string Comment(const Instruction& instruction, const OpcodeInfo& info, const Known& known,
                    std::endian order) {
  switch (info.opcode) {
    case Opcode::kLdAbs:
      return instruction.k % 4 == 0 && instruction.k < kDataLength
                 ? WordName(static_cast<std::uint8_t>(instruction.k / 4), order)
                 : "";
    case Opcode::kJeqK:
    case Opcode::kJgtK:
    case Opcode::kJgeK:
    case Opcode::kJsetK:
      return known.a ? TestText(known, instruction, info.opcode, order) : "";
    case Opcode::kRetK:
      return abi::RetValueToString(instruction.k);
    default:
      return "";
  }
}

}  // namespace

std::string Disassemble(ProgramView program) {
  const std::vector<std::uint32_t> arches = ArchesAskedFor(program);
  const bool is_for_one =
      !arches.empty() && std::ranges::count(arches, arches[0]) == std::ssize(arches);
  const Facts facts = Follow(program, is_for_one ? std::optional(arches[0]) : std::nullopt);
  const std::endian order = OrderOf(arches);
  std::string listing;
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    const Instruction& instruction = program[pc];
    const OpcodeInfo* info = FindOpcode(instruction.code);
    std::string text;
    std::string comment;
    if (TextIsExact(instruction, pc, program.size())) {
      const Known known = facts[pc].value_or(Known{});
      text = InstructionText(instruction, pc,
                             IsNumber(known, instruction, *info) ? Radix::kDecimal : Radix::kHex);
      comment = facts[pc] ? Comment(instruction, *info, known, order) : "unreachable";
    } else {
      text = RawInstructionText(instruction);
      comment = info == nullptr ? "no such instruction" : InstructionText(instruction, pc);
    }
    const std::string line = fmt::format("{:<7}{}", fmt::format("l{}:", pc), text);
    listing += comment.empty() ? line + "\n" : fmt::format("{:<39} ; {}\n", line, comment);
  }
  return listing;
}

}  // namespace callgate::bpf
