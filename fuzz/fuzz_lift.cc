// Any bytes as a filter program and calls: what the lifter decides, the interpreter says too; and a
// program equals itself unless it is undecided.
//
// Input: 64 bytes of call, then 8 bytes an instruction. Codes are taken from the opcode table and
// operands brought into range, since raw bytes are rarely a valid program.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "abi/call.h"
#include "analyse/compare.h"
#include "analyse/lift.h"
#include "base/check.h"
#include "bpf/encode.h"
#include "bpf/interpret.h"
#include "bpf/opcodes.h"
#include "bpf/verify.h"
#include "graph/graph.h"

namespace callgate {
namespace {

void BringIntoRange(bpf::Program& program) {
  for (std::size_t pc = 0; pc < program.size(); ++pc) {
    bpf::Instruction& instruction = program[pc];
    const bpf::OpcodeInfo& info = bpf::AllOpcodes()[instruction.code % bpf::AllOpcodes().size()];
    const auto behind = static_cast<std::uint32_t>(program.size() - pc - 1);
    instruction.code = static_cast<std::uint16_t>(info.opcode);
    if (info.operand == bpf::Operand::kWord) instruction.k = instruction.k % 16 * 4;
    if (info.operand == bpf::Operand::kCell) instruction.k %= 16;
    if (behind == 0) break;
    if (info.effect == bpf::Effect::kJumpAlways) instruction.k %= behind;
    instruction.jt = static_cast<std::uint8_t>(instruction.jt % behind);
    instruction.jf = static_cast<std::uint8_t>(instruction.jf % behind);
  }
  if (!program.empty()) program.back() = {static_cast<std::uint16_t>(bpf::Opcode::kRetA), 0, 0, 0};
}

void Check(std::string_view input) {
  abi::CallWords words{};
  if (input.size() < sizeof(words)) return;
  std::memcpy(words.data(), input.data(), sizeof(words));
  input.remove_prefix(sizeof(words));
  input.remove_suffix(input.size() % sizeof(bpf::Instruction));
  auto program = bpf::DecodeRaw(input, std::endian::native);
  if (!program) return;
  BringIntoRange(*program);
  if (!bpf::Verify(*program)) return;

  graph::Pool pool;
  const analyse::Lifted lifted = analyse::Lift(*program, pool);
  auto agree = [&] {
    const std::uint32_t value = graph::Evaluate(pool, lifted.root, words);
    CG_CHECK(lifted.IsUndecided(value) || value == bpf::Interpret(*program, words));
  };
  agree();
  // The words at the program's constants are where it may change its mind.
  for (const bpf::Instruction& instruction : *program) {
    const std::uint32_t before = words[instruction.jt % words.size()];
    for (const std::uint32_t value : {instruction.k, instruction.k - 1, instruction.k + 1}) {
      words[instruction.jt % words.size()] = value;
      agree();
    }
    words[instruction.jt % words.size()] = before;
  }
  const analyse::Comparison itself = analyse::ComparePrograms(*program, *program);
  CG_CHECK(itself.equal != analyse::Answer::kFails);
}

}  // namespace
}  // namespace callgate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  callgate::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
