#include "bpf/assemble.h"

#include <string>
#include <utility>

#include "base/diagnostic.h"
#include "base/source.h"
#include "bpf/disassemble.h"
#include "bpf/encode.h"
#include "bpf/opcodes.h"
#include "gtest/gtest.h"
#include "testing/random_program.h"

namespace callgate::bpf {
namespace {

struct Outcome {
  std::optional<Assembly> assembly;
  std::string errors;
};

Outcome Read(std::string text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  const base::FileId file = sources.Add("t.s", std::move(text));
  auto assembly = Assemble(sources, file, diagnostics);
  EXPECT_EQ(assembly.has_value(), !diagnostics.HasErrors());
  return {std::move(assembly), base::Render(diagnostics, sources, base::Color::kNo)};
}

// As hex, so that a difference is readable; the errors where there is no program.
std::string Hex(const std::string& text) {
  const Outcome outcome = Read(text);
  return outcome.assembly ? EncodeHex(outcome.assembly->program) : outcome.errors;
}

TEST(Assemble, ReadsBackEveryProgramThatIsListed) {
  const std::uint64_t seed = testing::RandomSeed();
  testing::ProgramGenerator generator(seed);
  for (std::uint64_t i = testing::RandomCount(2'000); i > 0; --i) {
    const Program program = generator.NearValid();
    const Outcome outcome = Read(Disassemble(program));
    ASSERT_TRUE(outcome.assembly.has_value()) << "seed " << seed << "\n" << outcome.errors;
    ASSERT_EQ(outcome.assembly->program, program) << "seed " << seed << "\n"
                                                  << Disassemble(program);
  }
}

TEST(Assemble, EveryCodeAndEveryFieldSurvivesTheListing) {
  for (std::uint32_t code = 0; code <= UINT16_MAX; ++code) {
    Program program(3, {static_cast<std::uint16_t>(code), 0, 0, 0});
    program[1].k = 1;
    program[2].jt = 255;
    const Outcome outcome = Read(Disassemble(program));
    ASSERT_TRUE(outcome.assembly.has_value()) << outcome.errors;
    ASSERT_EQ(outcome.assembly->program, program) << Disassemble(program);
  }
}

// Programs in the forms that bpf_asm takes.
TEST(Assemble, ReadsTheSyntaxOfBpfAsm) {
  struct Case {
    const char* text;
    const char* hex;
  };
  const Case cases[] = {
      {"ld [0]\nret a\n", "0020 00 00 00000000\n0016 00 00 00000000\n"},
      {"ld #len\nld len\nldx #len\nret %a",
       "0080 00 00 00000000\n0080 00 00 00000000\n"
       "0081 00 00 00000000\n0016 00 00 00000000\n"},
      {"ld #5\nldi #5\nldi 5\nldx #5\nldxi #-1\nldxi 0b101",
       "0000 00 00 00000005\n0000 00 00 00000005\n0000 00 00 00000005\n0001 00 00 00000005\n"
       "0001 00 00 ffffffff\n0001 00 00 00000005\n"},
      {"ld M[3]\nldx M[ 017 ]\nst M[0]\nstx m[0xf]",
       "0060 00 00 00000003\n0061 00 00 0000000f\n0002 00 00 00000000\n0003 00 00 0000000f\n"},
      {"ldh [12]\nldb [x + 1]\nldb [%x+1]\nldx 4*([14]&0xf)\nldxb 4 * ([14] & 0xf)",
       "0028 00 00 0000000c\n0050 00 00 00000001\n0050 00 00 00000001\n00b1 00 00 0000000e\n"
       "00b1 00 00 0000000e\n"},
      {"tax\ntxa\nneg\nmod x\nxor %x\nlsh #31\nret x",
       "0007 00 00 00000000\n0087 00 00 00000000\n0084 00 00 00000000\n009c 00 00 00000000\n"
       "00ac 00 00 00000000\n0064 00 00 0000001f\n000e 00 00 00000000\n"},
      // One label: the other way falls through; bpf_asm's opposites have their one way turned.
      {"jeq #1, end\njne #2, end\njneq #2, end\njlt #3, end\njle x, end\njset %x, end, end\n"
       "ja end\njmp end\nend: ret #0",
       "0015 07 00 00000001\n0015 00 06 00000002\n0015 00 05 00000002\n0035 00 04 00000003\n"
       "002d 00 03 00000000\n004d 02 02 00000000\n0005 00 00 00000001\n0005 00 00 00000000\n"
       "0006 00 00 00000000\n"},
      {"LD [4]\nJEQ #0x40000003, Bad, good\ngood:\n  RET #0x7FFF0000\nBad: Good:\n\n ret #0",
       "0020 00 00 00000004\n0015 01 00 40000003\n0006 00 00 7fff0000\n0006 00 00 00000000\n"},
      {"; a filter\n# of two lines\nld /* nr */ [0] ; nr\n/* and\nno more */ ret #0",
       "0020 00 00 00000000\n0006 00 00 00000000\n"},
      {".insn 0x0055, 1, 255, 0xffffffff\n", "0055 01 ff ffffffff\n"},
      {"", ""},
      {" ; nothing\r\n\r\n", ""},
  };
  for (const Case& c : cases) EXPECT_EQ(Hex(c.text), c.hex) << c.text;
}

TEST(Assemble, SaysWhereEachInstructionStands) {
  const std::string text = "first: ld [0] ; nr\n\n  ret #0\n";
  const Outcome outcome = Read(text);
  ASSERT_TRUE(outcome.assembly.has_value());
  ASSERT_EQ(outcome.assembly->lines.size(), 2);
  auto slice = [&](base::Span span) { return text.substr(span.begin, span.end - span.begin); };
  EXPECT_EQ(slice(outcome.assembly->lines[0]), "ld [0]");
  EXPECT_EQ(slice(outcome.assembly->lines[1]), "ret #0");
}

TEST(Assemble, FarthestJumps) {
  auto program = [](int fillers, const char* jump) {
    std::string text = std::string(jump) + "\n";
    for (int i = 0; i < fillers; ++i) text += "tax\n";
    return text + "end: ret #0\n";
  };
  EXPECT_TRUE(Read(program(255, "jeq #0, end")).assembly.has_value());
  EXPECT_TRUE(Read(program(4000, "ja end")).assembly.has_value());
  EXPECT_EQ(Read(program(256, "jeq #0, end")).errors,
            "t.s:1:9: error: 'end' is 256 instructions away; a conditional jump skips 255 at most\n"
            "    jeq #0, end\n"
            "            ^~~\n"
            "  note: jump to a nearer 'ja end'\n");
}

TEST(Assemble, AllErrorsOfFileAreReportedFromTopToBottom) {
  EXPECT_EQ(Read("jeqq #1, l1\n"
                 "l1: jeq #1, l9, done\n"
                 "ret q\n"
                 "done: ret #0x1ffffffff\n")
                .errors,
            "t.s:1:1: error: unknown instruction 'jeqq'\n"
            "    jeqq #1, l1\n"
            "    ^~~~\n"
            "  note: did you mean 'jeq'?\n"
            "t.s:2:13: error: there is no label 'l9'\n"
            "    l1: jeq #1, l9, done\n"
            "                ^~\n"
            "  note: did you mean 'l1'?\n"
            "t.s:3:5: error: expected an operand of 'ret', found 'q'\n"
            "    ret q\n"
            "        ^\n"
            "  note: write ret #k or ret a or ret x\n"
            "t.s:4:12: error: 0x1ffffffff does not fit 32 bits\n"
            "    done: ret #0x1ffffffff\n"
            "               ^~~~~~~~~~~\n");
}

TEST(Assemble, EachErrorSaysWhatToWrite) {
  struct Case {
    const char* text;
    const char* error;
  };
  const Case cases[] = {
      {"tax x",
       "t.s:1:5: error: 'tax' has no such operand\n    tax x\n        ^\n"
       "  note: write tax\n"},
      {"jset [0], l1, l2",
       "t.s:1:6: error: 'jset' has no such operand\n    jset [0], l1, l2\n         ^~~\n"
       "  note: write jset #k, label, label or jset x, label, label\n"},
      {"jlt [0], l1",
       "t.s:1:5: error: 'jlt' has no such operand\n    jlt [0], l1\n        ^~~\n"
       "  note: write jlt #k, label or jlt x, label\n"},
      {"add",
       "t.s:1:4: error: 'add' needs an operand\n    add\n       ^\n"
       "  note: write add #k or add x\n"},
      {"ldi [0]",
       "t.s:1:5: error: 'ldi' has no such operand\n    ldi [0]\n        ^~~\n"
       "  note: write ldi #k\n"},
      {"ret #",
       "t.s:1:6: error: expected a number, found the end of the line\n    ret #\n"
       "         ^\n"},
      {"ld [4",
       "t.s:1:6: error: expected ']', found the end of the line\n    ld [4\n"
       "         ^\n"},
      {"ret #0 ret #0",
       "t.s:1:8: error: expected the end of the line, found 'ret'\n"
       "    ret #0 ret #0\n           ^~~\n"},
      {"jeq #0",
       "t.s:1:7: error: expected ',', found the end of the line\n    jeq #0\n"
       "          ^\n"},
      {"jlt #0, l1, l1\nl1: ret #0",
       "t.s:1:11: error: expected the end of the line, found ','\n    jlt #0, l1, l1\n"
       "              ^\n"},
      {"ja 5", "t.s:1:4: error: expected a label, found '5'\n    ja 5\n       ^\n"},
      {"l1: ret #0\nja l1",
       "t.s:2:4: error: 'l1' is not below; a filter jumps forward only\n    ja l1\n       ^~\n"
       "  t.s:1:1: note: the label is here\n    l1: ret #0\n    ^~\n"},
      {"l1: tax\nl1: ret #0",
       "t.s:2:1: error: the label 'l1' is there already\n    l1: ret #0\n    ^~\n"
       "  t.s:1:1: note: first here\n    l1: tax\n    ^~\n"},
      {"ja end\nend:",
       "t.s:2:1: error: no instruction follows the label 'end'\n    end:\n"
       "    ^~~\n"},
      {".insn 0x10000, 0, 0, 0",
       "t.s:1:7: error: 'code' is at most 0xffff\n"
       "    .insn 0x10000, 0, 0, 0\n          ^~~~~~~\n"},
      {".insn 6, 0, 0",
       "t.s:1:14: error: expected ',', found the end of the line\n"
       "    .insn 6, 0, 0\n                 ^\n"},
      {"ldx 4*([14]&0xff)",
       "t.s:1:13: error: the mask of a header length is 0xf\n"
       "    ldx 4*([14]&0xff)\n                ^~~~\n"},
      {"ret #09",
       "t.s:1:6: error: '09' is no number\n    ret #09\n         ^~\n"
       "  note: numbers are written 10, 0xa, 012 or 0b1010\n"},
      {"ret $0\n",
       "t.s:1:5: error: unexpected '$'\n    ret $0\n        ^\n"
       "t.s:1:6: error: expected an operand of 'ret', found '0'\n    ret $0\n"
       "         ^\n  note: write ret #k or ret a or ret x\n"},
      {"ret #0 /* end",
       "t.s:1:8: error: this comment is never closed; end it with '*/'\n"
       "    ret #0 /* end\n           ^~\n"},
      {"ret #-2147483649",
       "t.s:1:7: error: -2147483649 does not fit 32 bits\n"
       "    ret #-2147483649\n          ^~~~~~~~~~\n"},
  };
  for (const Case& c : cases) EXPECT_EQ(Read(c.text).errors, c.error) << c.text;
}

TEST(Assemble, CompiledFilterInPlaceOfTextIsOneError) {
  EXPECT_EQ(Read(std::string(" \0\0\0\4\0\0\0", 8)).errors,
            "t.s:1:2: error: control character 0x00 in assembly\n"
            "     ???????\n"
            "     ^\n"
            "  note: this does not look like text; 'callgate disasm' reads compiled filters\n");
}

TEST(Assemble, FileOfGarbageIsCutShort) {
  std::string text;
  for (int i = 0; i < 1000; ++i) text += "nonsense\n";
  EXPECT_TRUE(Read(text).errors.ends_with("... and 900 more errors\n"));
}

}  // namespace
}  // namespace callgate::bpf
