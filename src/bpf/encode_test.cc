#include "bpf/encode.h"

#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "testing/random_program.h"

namespace callgate::bpf {
namespace {

const Program kProgram = {{0x20, 0, 0, 4}, {0x15, 1, 2, 0xc000003e}, {0x06, 0, 0, 0x7fff0000}};

TEST(Encode, WritesFixedForms) {
  using namespace std::string_literals;
  EXPECT_EQ(EncodeRaw(kProgram, std::endian::little),
            "\x20\0\0\0\x04\0\0\0\x15\0\x01\x02\x3e\0\0\xc0\x06\0\0\0\0\0\xff\x7f"s);
  EXPECT_EQ(EncodeRaw(kProgram, std::endian::big),
            "\0\x20\0\0\0\0\0\x04\0\x15\x01\x02\xc0\0\0\x3e\0\x06\0\0\x7f\xff\0\0"s);
  EXPECT_EQ(EncodeHex(kProgram), "0020 00 00 00000004\n0015 01 02 c000003e\n0006 00 00 7fff0000\n");
  EXPECT_EQ(EncodeJson(kProgram),
            "[\n  {\"code\": 32, \"jt\": 0, \"jf\": 0, \"k\": 4},\n"
            "  {\"code\": 21, \"jt\": 1, \"jf\": 2, \"k\": 3221225534},\n"
            "  {\"code\": 6, \"jt\": 0, \"jf\": 0, \"k\": 2147418112}\n]\n");
  EXPECT_EQ(EncodeJson({}), "[]\n");
}

TEST(Encode, RawFormIsTheArrayInMemory) {
  const std::string bytes = EncodeRaw(kProgram, std::endian::native);
  ASSERT_EQ(bytes.size(), kProgram.size() * sizeof(Instruction));
  EXPECT_EQ(std::memcmp(bytes.data(), kProgram.data(), bytes.size()), 0);
}

TEST(Encode, EveryProgramComesBack) {
  const std::uint64_t seed = testing::RandomSeed();
  testing::ProgramGenerator generator(seed);
  for (int i = 0; i < 300; ++i) {
    Program program = generator.NearValid();
    if (program.size() > kMaxInstructions) program.resize(kMaxInstructions);
    for (std::endian order : {std::endian::little, std::endian::big}) {
      ASSERT_EQ(DecodeRaw(EncodeRaw(program, order), order).value(), program) << seed;
    }
    ASSERT_EQ(DecodeHex(EncodeHex(program)).value(), program) << seed;
  }
}

TEST(Encode, HexIsReadGenerously) {
  EXPECT_EQ(DecodeHex("\n  0x20\t0 0 0x4 \r\n\n15 1 2 C000003E\n6 0 0 7fff0000").value(), kProgram);
  EXPECT_EQ(DecodeHex("").value(), Program{});
}

TEST(Encode, MalformedInputIsRefusedWithItsPlace) {
  EXPECT_EQ(
      DecodeRaw(std::string(13, 'x'), std::endian::little).error().ToString(),
      "cannot read filter program: 13 bytes are no multiple of 8, the size of an instruction; "
      "give an array of struct sock_filter");
  EXPECT_EQ(
      DecodeRaw(std::string(8UL * 4097, 'x'), std::endian::little).error().ToString(),
      "cannot read filter program: more than 4096 instructions, the kernel's limit for one filter");
  std::string long_text;
  for (int i = 0; i < 4097; ++i) long_text += "6 0 0 0\n";
  EXPECT_EQ(
      DecodeHex(long_text).error().ToString(),
      "cannot read filter program: more than 4096 instructions, the kernel's limit for one filter");
  struct Case {
    const char* text;
    const char* message;
  };
  const Case cases[] = {
      {"6 0 0 0\n20 0 0\n",
       "cannot read filter program: line 2: 'k' is missing; a line holds four hex numbers: code jt "
       "jf k"},
      {"6 0 0 0 0\n",
       "cannot read filter program: line 1, column 9: more than four numbers; a line holds four "
       "hex "
       "numbers: code jt jf k"},
      {"6 0 zz 0\n", "cannot read filter program: line 1, column 5: 'jf' is not a hex number"},
      {"0x 0 0 0\n", "cannot read filter program: line 1, column 1: 'code' is not a hex number"},
      {"-6 0 0 0\n", "cannot read filter program: line 1, column 1: 'code' is not a hex number"},
      {"10000 0 0 0\n",
       "cannot read filter program: line 1, column 1: 'code' is larger than 0xffff"},
      {"6 100 0 0\n", "cannot read filter program: line 1, column 3: 'jt' is larger than 0xff"},
      {"6 0 0 100000000\n",
       "cannot read filter program: line 1, column 7: 'k' is larger than 0xffffffff"},
      {"6 0 0 fffffffffffffffffffff\n",
       "cannot read filter program: line 1, column 7: 'k' is larger than 0xffffffff"},
  };
  for (const Case& c : cases) EXPECT_EQ(DecodeHex(c.text).error().ToString(), c.message) << c.text;
}

}  // namespace
}  // namespace callgate::bpf
