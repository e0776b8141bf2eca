#include "testing/random_program.h"

#include <algorithm>
#include <array>
#include <cstdlib>
#include <string>
#include <vector>

#include "abi/action.h"
#include "base/check.h"
#include "bpf/verify.h"

namespace callgate::testing {
namespace {

using bpf::Effect;
using bpf::Instruction;
using bpf::Opcode;
using bpf::OpcodeInfo;
using bpf::Operand;
using bpf::Program;

constexpr std::uint32_t kAuditArchX86_64 = 0xc000003e;  // linux/audit.h
constexpr std::uint32_t kAuditArchI386 = 0x40000003;

constexpr std::array<std::uint32_t, 20> kBoundaries = {0,
                                                       1,
                                                       2,
                                                       3,
                                                       31,
                                                       32,
                                                       0x7fff,
                                                       0xffff,
                                                       0x10000,
                                                       0x3fffffff,
                                                       0x40000000,
                                                       0x40000001,
                                                       0x80000001,
                                                       0x7fffffff,
                                                       0x80000000,
                                                       0xfffffffe,
                                                       0xffffffff,
                                                       39,
                                                       kAuditArchX86_64,
                                                       kAuditArchI386};

constexpr std::array<std::uint32_t, 10> kActions = {0x80000000, 0x00000000, 0x00030000, 0x00050000,
                                                    0x7fc00000, 0x7ff00000, 0x7ffc0000, 0x7fff0000,
                                                    0x12340000, 0xffff0000};

// Opcodes that seccomp takes, grouped so that rows of one effect do not drown the others.
std::vector<const OpcodeInfo*> Accepted(std::initializer_list<Effect> effects) {
  std::vector<const OpcodeInfo*> found;
  for (const OpcodeInfo& info : bpf::AllOpcodes()) {
    if (info.seccomp && std::ranges::find(effects, info.effect) != effects.end()) {
      found.push_back(&info);
    }
  }
  return found;
}

std::uint64_t FromEnvironment(const char* name, std::uint64_t otherwise) {
  const char* text = std::getenv(name);  // NOLINT(concurrency-mt-unsafe): before any thread
  if (text == nullptr) return otherwise;
  char* end = nullptr;
  const std::uint64_t value = std::strtoull(text, &end, 0);
  CG_CHECK(end != text && *end == '\0');
  return value;
}

// Makes the one fault that a shape may have good: a cell read before it is written.
Program WithoutEarlyReads(Program program) {
  while (auto error = [&] {
    auto result = bpf::Verify(program);
    return result ? nullptr : &program[result.error().pc];
  }()) {
    const OpcodeInfo* info = bpf::FindOpcode(error->code);
    CG_CHECK(info != nullptr && info->operand == Operand::kCell);
    error->code = static_cast<std::uint16_t>(info->effect == Effect::kLoadA ? Opcode::kLdImm
                                                                            : Opcode::kLdxImm);
  }
  return program;
}

}  // namespace

std::uint64_t RandomCount(std::uint64_t default_count) {
  return FromEnvironment("CALLGATE_RANDOM_COUNT", default_count / CALLGATE_SLOWDOWN);
}

std::uint64_t RandomSeed() { return FromEnvironment("CALLGATE_RANDOM_SEED", 1); }

std::uint32_t ProgramGenerator::Value() {
  return OneIn(4) ? static_cast<std::uint32_t>(random_()) : Pick(kBoundaries);
}

std::uint32_t ProgramGenerator::OperandValue(const OpcodeInfo& info) {
  if (info.operand == Operand::kWord) {
    return static_cast<std::uint32_t>(4 * Below(bpf::kDataLength / 4));
  }
  if (info.operand == Operand::kCell) {
    return static_cast<std::uint32_t>(Below(OneIn(4) ? bpf::kMemoryCells : 3));
  }
  if (info.opcode == Opcode::kLshK || info.opcode == Opcode::kRshK) {
    return static_cast<std::uint32_t>(Below(32));
  }
  const std::uint32_t value = Value();
  return info.opcode == Opcode::kDivK ? std::max(value, 1U) : value;
}

// Instructions to skip, so that at least one of `behind` is left.
std::uint8_t ProgramGenerator::Distance(std::size_t behind) {
  const std::uint64_t most = std::min<std::uint64_t>(behind - 1, UINT8_MAX);
  if (OneIn(8)) return static_cast<std::uint8_t>(most);
  return static_cast<std::uint8_t>(
      Below(OneIn(3) ? most + 1 : std::min<std::uint64_t>(most, 4) + 1));
}

std::size_t ProgramGenerator::Size() {
  if (OneIn(40)) return 200 + Below(400);
  return 1 + Below(OneIn(3) ? 80 : 20);
}

Instruction ProgramGenerator::Return() {
  if (OneIn(3)) return {static_cast<std::uint16_t>(Opcode::kRetA), 0, 0, 0};
  const auto data = static_cast<std::uint32_t>(OneIn(2) ? 0 : Below(0x10000));
  return {static_cast<std::uint16_t>(Opcode::kRetK), 0, 0, Pick(kActions) | data};
}

Instruction ProgramGenerator::Step(std::size_t behind) {
  static const auto jumps = Accepted({Effect::kJump});
  static const auto arithmetic = Accepted({Effect::kAlu});
  static const auto moves =
      Accepted({Effect::kLoadA, Effect::kLoadX, Effect::kStoreA, Effect::kStoreX});
  const std::uint64_t dice = Below(100);
  if (dice < 4) return Return();
  if (dice < 6) {
    return {static_cast<std::uint16_t>(Opcode::kJa), 0, 0, Distance(behind)};
  }
  if (dice < 26) {
    return {static_cast<std::uint16_t>(Opcode::kLdAbs), 0, 0,
            static_cast<std::uint32_t>(4 * Below(OneIn(2) ? 2 : 16))};
  }
  const auto& group = dice < 50 ? jumps : dice < 72 ? arithmetic : moves;
  const OpcodeInfo& info = *group[Below(group.size())];
  Instruction instruction{static_cast<std::uint16_t>(info.opcode), 0, 0, OperandValue(info)};
  if (info.effect == Effect::kJump) {
    instruction.jt = Distance(behind);
    instruction.jf = Distance(behind);
  } else if (OneIn(50)) {
    instruction.jt = static_cast<std::uint8_t>(random_());  // fields that mean nothing here
  }
  return instruction;
}

// Correct but for scratch memory, where anything may be read.
Program ProgramGenerator::Shape(std::size_t size) {
  Program program;
  for (std::size_t pc = 0; pc + 1 < size; ++pc) program.push_back(Step(size - pc - 1));
  program.push_back(Return());
  return program;
}

Program ProgramGenerator::Valid(std::size_t max_size) {
  return WithoutEarlyReads(Shape(std::min(Size(), max_size)));
}

std::uint32_t ProgramGenerator::SpoiledOperand(const OpcodeInfo* info, std::size_t behind) {
  constexpr std::array<std::uint32_t, 9> kOffsets = {1,  2,  60,         61,        63,
                                                     64, 68, 0xfffff000, 0xfffff024};
  if (info == nullptr) return Value();
  const auto small = static_cast<std::uint32_t>(Below(3));
  switch (info->operand) {
    case Operand::kWord:
    case Operand::kIndexed:
      return Pick(kOffsets);
    case Operand::kCell:
      return OneIn(4) ? Value() : bpf::kMemoryCells - 1 + small;
    case Operand::kTarget:
      return OneIn(4) ? Value() : static_cast<std::uint32_t>(behind) - 1 + small;
    default:
      return OneIn(2) ? small : 30 + small;
  }
}

void ProgramGenerator::Spoil(Program& program) {
  const std::size_t pc = OneIn(4) ? program.size() - 1 : Below(program.size());
  const std::size_t behind = program.size() - pc - 1;
  Instruction& instruction = program[pc];
  switch (Below(6)) {
    case 0:
      instruction.code = static_cast<std::uint16_t>(OneIn(2) ? random_() : Below(0x100));
      break;
    case 1:
      instruction.code =
          static_cast<std::uint16_t>(bpf::AllOpcodes()[Below(bpf::AllOpcodes().size())].opcode);
      break;
    case 2:
      instruction.k = SpoiledOperand(bpf::FindOpcode(instruction.code), behind);
      break;
    case 3:
      instruction.jt = static_cast<std::uint8_t>(behind - 1 + Below(3));
      break;
    case 4:
      instruction.jf = static_cast<std::uint8_t>(behind - 1 + Below(3));
      break;
    default:
      program.erase(program.begin() + static_cast<std::ptrdiff_t>(pc));
      break;
  }
}

Program ProgramGenerator::NearValid() {
  Program program = OneIn(2) ? Valid() : Shape(Size());
  if (OneIn(500)) program = Shape(bpf::kMaxInstructions - 1 + Below(3));
  if (OneIn(2)) {
    for (std::uint64_t faults = 1 + Below(3); faults > 0 && !program.empty(); --faults) {
      Spoil(program);
    }
  }
  return program;
}

Program ProgramGenerator::NearlyEmulated() {
  constexpr std::uint32_t kNumbers = 512;  // more than the kernel's tables have
  Program program = Valid(200);
  for (Instruction& instruction : program) {
    const OpcodeInfo& info = *bpf::FindOpcode(instruction.code);
    if (info.effect == Effect::kReturn) {
      const std::uint32_t action = OneIn(2) ? abi::kAllow.value() : Pick(kActions);
      instruction = {static_cast<std::uint16_t>(Opcode::kRetK), 0, 0, action + (OneIn(9) ? 1 : 0)};
      if (OneIn(100)) instruction.code = static_cast<std::uint16_t>(Opcode::kRetA);
    } else if (info.effect == Effect::kJump) {
      constexpr Opcode kJumps[] = {Opcode::kJeqK, Opcode::kJgtK, Opcode::kJgeK, Opcode::kJsetK};
      instruction.code = static_cast<std::uint16_t>(kJumps[Below(4)]);
      if (!OneIn(4)) instruction.k = static_cast<std::uint32_t>(Below(kNumbers));
    } else if (!info.emulated && !OneIn(100)) {
      const auto mask = static_cast<std::uint32_t>(random_()) | (OneIn(2) ? kNumbers - 1 : 0);
      const auto word = static_cast<std::uint32_t>(OneIn(4) ? 4 * Below(3) : 0);
      instruction = OneIn(2) ? Instruction{static_cast<std::uint16_t>(Opcode::kAndK), 0, 0, mask}
                             : Instruction{static_cast<std::uint16_t>(Opcode::kLdAbs), 0, 0, word};
    } else if (info.opcode == Opcode::kLdAbs && !OneIn(20)) {
      instruction.k = OneIn(4) ? 4 : 0;
    }
  }
  return WithoutEarlyReads(std::move(program));
}

abi::Call ProgramGenerator::CallFor(bpf::ProgramView program) {
  std::vector<std::uint32_t> constants(kBoundaries.begin(), kBoundaries.end());
  for (const Instruction& instruction : program) {
    const OpcodeInfo* info = bpf::FindOpcode(instruction.code);
    if (info != nullptr && info->operand == Operand::kConstant && info->effect != Effect::kReturn) {
      constants.push_back(instruction.k);
    }
  }
  auto word = [&]() -> std::uint32_t {
    if (OneIn(5)) return static_cast<std::uint32_t>(random_());
    return Pick(constants) + (OneIn(4) ? static_cast<std::uint32_t>(Below(3)) - 1 : 0);
  };
  abi::Call call;
  call.nr = static_cast<std::int32_t>(word());
  call.arch = OneIn(4) ? kAuditArchI386 : kAuditArchX86_64;
  call.ip = random_();
  for (std::uint64_t& arg : call.args) arg = std::uint64_t{word()} << 32 | word();
  return call;
}

}  // namespace callgate::testing
