// Any bytes as a filter program and a call: nothing may crash, and what must agree, agrees.
//
// Input: one byte of mode, 64 bytes of call, then 8 bytes an instruction. Raw bytes are rarely a
// valid program, so one mode takes codes from the opcode table and brings operands into range.

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string_view>

#include "abi/action.h"
#include "abi/arch.h"
#include "abi/call.h"
#include "base/check.h"
#include "base/diagnostic.h"
#include "base/source.h"
#include "bpf/assemble.h"
#include "bpf/cache.h"
#include "bpf/cost.h"
#include "bpf/disassemble.h"
#include "bpf/encode.h"
#include "bpf/interpret.h"
#include "bpf/opcodes.h"
#include "bpf/stack.h"
#include "bpf/verify.h"

namespace callgate {
namespace {

void BringIntoRange(bpf::Program& program) {
  for (bpf::Instruction& instruction : program) {
    const bpf::OpcodeInfo& info = bpf::AllOpcodes()[instruction.code % bpf::AllOpcodes().size()];
    instruction.code = static_cast<std::uint16_t>(info.opcode);
    if (info.operand == bpf::Operand::kWord) instruction.k = instruction.k % 17 * 4;
    if (info.operand == bpf::Operand::kCell) instruction.k %= 17;
    if (info.effect == bpf::Effect::kJumpAlways) instruction.k %= program.size();
    instruction.jt = static_cast<std::uint8_t>(instruction.jt % program.size());
    instruction.jf = static_cast<std::uint8_t>(instruction.jf % program.size());
  }
  if (!program.empty()) program.back().code = static_cast<std::uint16_t>(bpf::Opcode::kRetA);
}

// A number that the kernel's search finds always allowed is allowed whatever the arguments are.
void CheckCache(bpf::ProgramView program, abi::CallWords words) {
  words[abi::kArchWord] = abi::ArchOf(abi::ArchId::kX86_64).audit_arch;
  words[abi::kNrWord] &= 0x1ff;
  if (!bpf::IsConstantAllow(program, words[abi::kNrWord], words[abi::kArchWord])) return;
  CG_CHECK(bpf::Interpret(program, words) == abi::kAllow.value());
}

void CheckText(const bpf::Program& program) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  const base::FileId file = sources.Add("t.s", bpf::Disassemble(program));
  const auto assembly = bpf::Assemble(sources, file, diagnostics);
  CG_CHECK(assembly && assembly->program == program);
}

void CheckRun(bpf::ProgramView program, const abi::CallWords& words) {
  const bpf::Trace trace = bpf::InterpretWithTrace(program, words);
  CG_CHECK(trace.ret_value == bpf::Interpret(program, words));
  CG_CHECK(!trace.path.empty() && trace.path.front() == 0);
  for (std::size_t i = 1; i < trace.path.size(); ++i) {
    CG_CHECK(trace.path[i - 1] < trace.path[i] && trace.path[i] < program.size());
  }
  CG_CHECK(bpf::ConvertedSize(program) > program.size());
  const bpf::ProgramView twice[] = {program, program};
  const bpf::StackVerdict verdict = bpf::InterpretStack(twice, words);
  CG_CHECK(!verdict.filter || (*verdict.filter == 1 && verdict.ret_value == trace.ret_value));
}

void Check(std::string_view input) {
  abi::CallWords words{};
  if (input.size() < 1 + sizeof(words)) return;
  const bool in_range = (input[0] & 1) != 0;
  std::memcpy(words.data(), input.data() + 1, sizeof(words));
  input.remove_prefix(1 + sizeof(words));
  input.remove_suffix(input.size() % sizeof(bpf::Instruction));

  auto decoded = bpf::DecodeRaw(input, std::endian::native);
  if (!decoded) return;
  bpf::Program program = *std::move(decoded);
  if (in_range) BringIntoRange(program);

  CheckText(program);
  CG_CHECK(bpf::DecodeRaw(bpf::EncodeRaw(program, std::endian::big), std::endian::big) == program);
  CG_CHECK(bpf::DecodeHex(bpf::EncodeHex(program)) == program);
  // As text, most inputs are refused: without a crash.
  static_cast<void>(bpf::DecodeHex(input));
  if (!bpf::Verify(program)) return;
  CheckRun(program, words);
  CheckCache(program, words);
}

}  // namespace
}  // namespace callgate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  callgate::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
