#include "format/filter_json.h"

#include <gtest/gtest.h>

#include "bpf/encode.h"

namespace callgate::format {
namespace {

std::string Reason(std::string_view text) {
  const auto program = DecodeFilterJson(text);
  return program ? "" : program.error().ToString();
}

TEST(FilterJson, WhatIsWrittenIsReadBack) {
  const bpf::Program program = {{0x20, 0, 0, 4}, {0x15, 1, 255, 0xffffffff}, {0x06, 0, 0, 0}};
  EXPECT_EQ(DecodeFilterJson(bpf::EncodeJson(program)), program);
}

TEST(FilterJson, FaultsNameTheInstruction) {
  EXPECT_EQ(Reason("[{"), "cannot read JSON filter: not well-formed JSON");
  EXPECT_EQ(Reason("{}"), "cannot read JSON filter: a filter is an array of instructions");
  constexpr const char* kBadFields =
      "cannot read JSON filter: instruction 0 is not an object with numbers code, jt, jf and k in "
      "their ranges";
  EXPECT_EQ(Reason("[1]"), kBadFields);
  EXPECT_EQ(Reason(R"([{"code": 65536, "jt": 0, "jf": 0, "k": 0}])"), kBadFields);
  EXPECT_EQ(Reason(R"([{"code": 6, "jt": 0, "jf": 0}])"), kBadFields);
  EXPECT_EQ(Reason(R"([{"code": 6, "jt": 0, "jf": 0, "k": -1}])"), kBadFields);
}

TEST(FilterJson, DeepNestingIsRefusedWithoutExhaustingTheStack) {
  EXPECT_EQ(Reason(std::string(1'000'000, '[')), "cannot read JSON filter: not well-formed JSON");
}

}  // namespace
}  // namespace callgate::format
