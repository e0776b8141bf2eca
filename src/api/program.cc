#include "callgate/program.h"

#include <bit>
#include <utility>

#include "api/impl.h"
#include "base/check.h"
#include "base/diagnostic.h"
#include "base/source.h"
#include "bpf/assemble.h"
#include "bpf/disassemble.h"
#include "bpf/dump.h"
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

std::vector<Instruction> ToPublic(bpf::ProgramView program) {
  std::vector<Instruction> instructions;
  instructions.reserve(program.size());
  for (const bpf::Instruction& insn : program) {
    instructions.push_back({insn.code, insn.jt, insn.jf, insn.k});
  }
  return instructions;
}

Result<Program> Program::FromInstructions(std::vector<Instruction> instructions) {
  if (auto verified = bpf::Verify(ToInternal(instructions)); !verified) {
    return std::unexpected(Error{"not a seccomp filter: " + verified.error().message});
  }
  Program program;
  program.instructions_ = std::move(instructions);
  return program;
}

Result<Program> Program::FromBytes(std::span<const std::byte> bytes) {
  const auto program = bpf::DecodeRaw({reinterpret_cast<const char*>(bytes.data()), bytes.size()},
                                      std::endian::native);
  if (!program) return std::unexpected(Error{program.error().ToString()});
  return FromInstructions(ToPublic(*program));
}

std::expected<Program, Diagnostics> Program::FromAssembly(const std::string& name,
                                                          std::string text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  const base::FileId file = sources.Add(name, std::move(text));
  const auto assembly = bpf::Assemble(sources, file, diagnostics);
  if (assembly) {
    if (auto verified = bpf::Verify(assembly->program); !verified) {
      const std::size_t pc = verified.error().pc;
      const bool is_program =
          assembly->program.empty() || assembly->program.size() > bpf::kMaxInstructions;
      diagnostics.Error(is_program ? base::Span{} : assembly->lines[pc], verified.error().reason);
    }
  }
  if (diagnostics.HasErrors()) return std::unexpected(Diagnostics{ToPublic(diagnostics, sources)});
  Program program;
  program.instructions_ = ToPublic(assembly->program);
  return program;
}

Result<std::vector<Instruction>> ReadDump(std::string_view bytes) {
  const auto program = bpf::DecodeDump(bytes);
  if (!program) return std::unexpected(Error{program.error().ToString()});
  return ToPublic(*program);
}

std::string Disassemble(std::span<const Instruction> instructions) {
  return bpf::Disassemble(ToInternal(instructions));
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
