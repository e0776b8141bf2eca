#include "bpf/dump.h"

#include <string>

#include "bpf/encode.h"
#include "gtest/gtest.h"
#include "testing/random_program.h"

namespace callgate::bpf {
namespace {

constexpr std::endian kOther =
    std::endian::native == std::endian::little ? std::endian::big : std::endian::little;

TEST(Dump, EveryFormIsRecognisedAndReadBack) {
  const std::uint64_t seed = testing::RandomSeed();
  testing::ProgramGenerator generator(seed);
  for (int i = 0; i < 500; ++i) {
    const Program program = generator.Valid();
    EXPECT_EQ(DecodeDump(EncodeRaw(program, std::endian::native)), program) << seed;
    EXPECT_EQ(DecodeDump(EncodeHex(program)), program) << seed;
    EXPECT_EQ(DecodeDump(EncodeJson(program)), program) << seed;
  }
  EXPECT_EQ(DecodeDump(""), Program());
  EXPECT_EQ(DecodeDump("[]"), Program());
}

TEST(Dump, RawProgramOfAnotherByteOrder) {
  const Program program = {
      {0x20, 0, 0, 4}, {0x15, 0, 1, 0x80000016}, {0x06, 0, 0, 0}, {0x06, 0, 0, 0x7fff0000}};
  EXPECT_EQ(DecodeDump(EncodeRaw(program, kOther)), program);
  // Codes that mean nothing either way: as this machine reads them.
  const Program unknown = {{0x55, 1, 2, 3}};
  EXPECT_EQ(DecodeDump(EncodeRaw(unknown, std::endian::native)), unknown);
}

std::string ErrorOf(std::string_view bytes) {
  const auto program = DecodeDump(bytes);
  return program ? "read" : program.error().ToString();
}

TEST(Dump, WhatCannotBeReadIsSaid) {
  EXPECT_EQ(ErrorOf("[{"),
            "cannot read filter program: this is not JSON, though it begins with '['");
  constexpr const char* kForm =
      "cannot read filter program: element 0 is not of the form "
      "{\"code\": 32, \"jt\": 0, \"jf\": 0, \"k\": 4}";
  EXPECT_EQ(ErrorOf(R"([{"code": 65536, "jt": 0, "jf": 0, "k": 4}])"), kForm);
  EXPECT_EQ(ErrorOf(R"([{"code": 6, "jt": 256, "jf": 0, "k": 4}])"), kForm);
  EXPECT_EQ(ErrorOf(R"([{"code": 6, "jt": 0, "jf": -1, "k": 4}])"), kForm);
  EXPECT_EQ(ErrorOf(R"([{"code": 6, "jt": 0, "jf": 0, "k": 4294967296}])"), kForm);
  EXPECT_EQ(ErrorOf(R"([{"code": 6, "jt": 0, "jf": 0}])"), kForm);
  EXPECT_EQ(ErrorOf(R"([{"code": 6, "jt": 0, "jf": 0, "k": 0, "o": 0}])"), kForm);
  EXPECT_EQ(ErrorOf("[6]"), kForm);
  EXPECT_EQ(ErrorOf(std::string_view("\0\0\0", 3)),
            "cannot read filter program: 3 bytes are no multiple of 8, the size of an instruction; "
            "give an array of struct sock_filter");
  EXPECT_EQ(ErrorOf("0020 0 0"),
            "cannot read filter program: line 1: 'k' is missing; "
            "a line holds four hex numbers: code jt jf k");
  EXPECT_EQ(ErrorOf(EncodeJson(Program(4097, {0x06, 0, 0, 0}))),
            "cannot read filter program: more than 4096 instructions, the kernel's limit for one "
            "filter");
}

}  // namespace
}  // namespace callgate::bpf
