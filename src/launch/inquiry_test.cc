#include "launch/inquiry.h"

#include <cerrno>

#include "gtest/gtest.h"

namespace callgate::launch {
namespace {

using policy::PolicyAction;
using policy::Verb;

Inquiry Example() {
  return {.syscall = "openat",
          .text = "openat(…)",
          .call = {.nr = 257, .arch = 0xc000003e, .ip = 0, .args = {1, 2, 3, 4, 5, UINT64_MAX}},
          .who = {.pid = 7, .tid = 8, .process_name = "vi", .thread_name = {}},
          .inputs = {{"filename", std::string("/a\"\n\u00e9")}, {"how.flags", std::uint64_t{577}}},
          .place = "p.cg:3",
          .rule = "else -> notify"};
}

TEST(InquiryLine, ReadsBackAsItWasWritten) {
  auto line = InquiryLine(42, Example());
  ASSERT_TRUE(line);
  EXPECT_EQ(line->find('\n'), line->size() - 1);
  auto read = ParseInquiry(line->substr(0, line->size() - 1));
  ASSERT_TRUE(read);
  EXPECT_EQ(read->id, 42U);
  EXPECT_EQ(read->inquiry.syscall, "openat");
  EXPECT_EQ(read->inquiry.text, "openat(…)");
  EXPECT_EQ(read->inquiry.call.args, Example().call.args);
  EXPECT_EQ(read->inquiry.call.nr, 257);
  EXPECT_EQ(read->inquiry.call.arch, 0xc000003eU);
  EXPECT_EQ(read->inquiry.who.pid, 7);
  EXPECT_EQ(read->inquiry.who.tid, 8);
  EXPECT_EQ(read->inquiry.inputs, Example().inputs);
  EXPECT_EQ(read->inquiry.place, "p.cg:3");
  EXPECT_EQ(read->inquiry.rule, "else -> notify");
}

TEST(InquiryLine, WhatCannotBeToldWithoutLossIsNotTold) {
  Inquiry inquiry = Example();
  inquiry.inputs = {{"filename", std::string("/\xff")}};
  EXPECT_FALSE(InquiryLine(1, inquiry));
  inquiry.inputs = {{"argv[1]", std::string(kMaxLine, 'x')}};
  EXPECT_FALSE(InquiryLine(1, inquiry));
}

TEST(ParseInquiry, WhatIsNoInquiryGivesNone) {
  for (
      const char* text :
      {"", "x", "[]", R"({"id":1})", R"({"id":1,"arch":"0x1","args":[],"inputs":{}})",
       R"({"id":1,"arch":"1","args":["0x0","0x0","0x0","0x0","0x0","0x0"],"inputs":{}})",
       R"({"id":1,"arch":"0x1","args":["0x0","0x0","0x0","0x0","0x0",0],"inputs":{}})",
       R"({"id":1,"arch":"0x1","args":["0x0","0x0","0x0","0x0","0x0","0x0"],"inputs":{"a":null}})"}) {
    EXPECT_FALSE(ParseInquiry(text)) << text;
  }
}

TEST(VerdictLine, ReadsBackAsItWasWritten) {
  std::string line = VerdictLine({.id = 3, .verdict = "deny", .reason = "so"});
  EXPECT_EQ(line, "{\"id\":3,\"verdict\":\"deny\",\"reason\":\"so\"}\n");
  auto read = ParseVerdict(line);
  ASSERT_TRUE(read);
  EXPECT_EQ(read->id, 3U);
  EXPECT_EQ(read->verdict, "deny");
  EXPECT_EQ(read->reason, "so");
}

TEST(ActionNamed, KnowsWhatAHandlerMaySay) {
  struct Row {
    const char* text;
    std::optional<PolicyAction> action;
  };
  const Row kRows[] = {
      {"allow", PolicyAction{Verb::kAllow, 0}},
      {"deny", PolicyAction{Verb::kErrno, EPERM}},
      {"kill", PolicyAction{Verb::kKillProcess, 0}},
      {"continue_unchecked", PolicyAction{Verb::kContinueUnchecked, 0}},
      {"errno(EACCES)", PolicyAction{Verb::kErrno, EACCES}},
      {"errno(4095)", PolicyAction{Verb::kErrno, 4095}},
      {"return(-9223372036854775808)", PolicyAction{Verb::kReturn, INT64_MIN}},
      {"errno(4096)", std::nullopt},
      {"errno(0)", std::nullopt},
      {"errno(-1)", std::nullopt},
      {"errno(1", std::nullopt},
      {"errno(1))", std::nullopt},
      {"errno( 1)", std::nullopt},
      {"return(9223372036854775808)", std::nullopt},
      {"return()", std::nullopt},
      {"as_supervisor", std::nullopt},
      {"ask", std::nullopt},
      {"look", std::nullopt},
      {"", std::nullopt},
  };
  for (const Row& row : kRows) {
    EXPECT_EQ(ActionNamed(row.text, abi::ArchId::kX86_64), row.action) << row.text;
  }
}

}  // namespace
}  // namespace callgate::launch
