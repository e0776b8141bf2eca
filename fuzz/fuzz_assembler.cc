// Any bytes as filter assembly: reading never crashes and always ends, a refused text has an error,
// and an accepted one is listed to a text that is read to the same program and listed the same.
//
// Raw bytes are rarely assembly: one mode takes its words from those that are.

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/check.h"
#include "base/diagnostic.h"
#include "base/source.h"
#include "bpf/assemble.h"
#include "bpf/disassemble.h"
#include "bpf/dump.h"
#include "bpf/encode.h"

namespace callgate {
namespace {

constexpr auto kWords = std::to_array<std::string_view>({
    "ld",
    "ldx",
    "ldi",
    "ldxi",
    "ldb",
    "ldh",
    "ldxb",
    "st",
    "stx",
    "jeq",
    "jne",
    "jneq",
    "jgt",
    "jge",
    "jlt",
    "jle",
    "jset",
    "ja",
    "jmp",
    "add",
    "sub",
    "mul",
    "div",
    "mod",
    "and",
    "or",
    "xor",
    "lsh",
    "rsh",
    "neg",
    "tax",
    "txa",
    "ret",
    ".insn",
    " ",
    "\n",
    ",",
    ": ",
    "#",
    "[",
    "]",
    "(",
    ")",
    "+",
    "-",
    "*",
    "&",
    "%",
    "x",
    "a",
    "M",
    "len",
    "0",
    "4",
    "0xf",
    "0x7fff",
    "65535",
    "l1",
    "l2",
    "l3",
    "l1: ",
    "l2: ",
    "l3: ",
    "; ",
    "/*",
    "*/",
    "ret #0\n",
    "ja l3\n",
    "jeq #1, l1, l2\n",
    "ld [0]\n",
    "ldx 4*([1]&0xf)\n",
    "st M[1]\n",
});

std::string FromWords(std::string_view input) {
  std::string text;
  for (char c : input) {
    text += kWords[static_cast<unsigned char>(c) % kWords.size()];
    text += (static_cast<unsigned char>(c) & 0x80U) != 0 ? " " : "";
  }
  return text;
}

std::optional<bpf::Program> Read(std::string text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  const base::FileId file = sources.Add("t.s", std::move(text));
  auto assembly = bpf::Assemble(sources, file, diagnostics);
  base::Render(diagnostics, sources, base::Color::kNo);
  CG_CHECK(assembly.has_value() == !diagnostics.HasErrors());
  if (!assembly) return std::nullopt;
  CG_CHECK(assembly->lines.size() == assembly->program.size());
  for (const base::Span& span : assembly->lines) {
    CG_CHECK(span.begin < span.end && span.end <= sources.text(file).size());
  }
  return std::move(assembly->program);
}

void Check(std::string_view input) {
  if (input.empty()) return;
  const bool words = (input[0] & 1) != 0;
  input.remove_prefix(1);
  // As a dump most inputs are refused: without a crash.
  static_cast<void>(bpf::DecodeDump(input));
  const auto program = Read(words ? FromWords(input) : std::string(input));
  if (!program) return;
  const std::string listing = bpf::Disassemble(*program);
  const auto again = Read(listing);
  CG_CHECK(again == program);
  CG_CHECK(bpf::Disassemble(*again) == listing);
  if (program->empty() || program->size() > bpf::kMaxInstructions) return;
  CG_CHECK(bpf::DecodeDump(bpf::EncodeHex(*program)) == *program);
  CG_CHECK(bpf::DecodeDump(bpf::EncodeJson(*program)) == *program);
}

}  // namespace
}  // namespace callgate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  callgate::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
