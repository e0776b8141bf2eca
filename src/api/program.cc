#include "callgate/program.h"

#include <bit>
#include <utility>

#include "api/impl.h"
#include "base/check.h"
#include "bpf/disassemble.h"
#include "bpf/encode.h"
#include "bpf/interpret.h"
#include "bpf/verify.h"
#include "fmt/format.h"
#include "format/c_header.h"

namespace callgate {

abi::Call ToInternal(const Call& call) {
  abi::Call internal{call.nr, call.arch, call.ip, {}};
  std::copy(std::begin(call.args), std::end(call.args), internal.args.begin());
  return internal;
}

bpf::Program ToInternal(std::span<const Instruction> instructions) {
  bpf::Program program;
  program.reserve(instructions.size());
  for (const Instruction& insn : instructions) {
    program.push_back({insn.code, insn.jt, insn.jf, insn.k});
  }
  return program;
}

Result<Program> Program::FromInstructions(std::vector<Instruction> instructions) {
  if (auto verified = bpf::Verify(ToInternal(instructions)); !verified) {
    return std::unexpected(Error{"not a seccomp filter: " + verified.error().message});
  }
  Program program;
  program.instructions_ = std::move(instructions);
  return program;
}

Result<std::string> Program::Write(ProgramFormat program_format, std::string_view name) const {
  bpf::Program program = ToInternal(instructions_);
  switch (program_format) {
    case ProgramFormat::kRaw:
      return bpf::EncodeRaw(program, std::endian::native);
    case ProgramFormat::kHex:
      return bpf::EncodeHex(program);
    case ProgramFormat::kListing:
      return bpf::Disassemble(program);
    case ProgramFormat::kCHeader:
      if (!format::IsCIdentifier(name)) {
        return std::unexpected(Error{fmt::format("'{}' is not a C identifier", name)});
      }
      return format::EncodeCHeader(program, name);
    case ProgramFormat::kJson:
      return bpf::EncodeJson(program);
  }
  std::unreachable();
}

std::uint32_t Program::Run(const Call& call) const {
  return bpf::Interpret(ToInternal(instructions_),
                        abi::WordsOf(ToInternal(call), std::endian::native));
}

}  // namespace callgate
