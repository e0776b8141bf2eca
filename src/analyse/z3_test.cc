#include "analyse/z3.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "analyse/formula.h"

namespace callgate::analyse {
namespace {

std::chrono::steady_clock::time_point After(std::chrono::milliseconds time) {
  return std::chrono::steady_clock::now() + time;
}

// A z3 that is this script, the only program in PATH.
class FakeZ3 {
 public:
  explicit FakeZ3(const std::string& script)
      : folder_(std::filesystem::path(::testing::TempDir()) / "fake_z3"),
        old_path_(std::getenv("PATH")) {
    std::filesystem::create_directory(folder_);
    const std::string file = folder_ / "z3";
    if (!script.empty()) {
      std::ofstream(file) << "#!/bin/sh\n" << script << '\n';
      chmod(file.c_str(), 0755);
    }
    setenv("PATH", folder_.c_str(), 1);
  }
  ~FakeZ3() {
    setenv("PATH", old_path_.c_str(), 1);
    std::filesystem::remove_all(folder_);
  }
  FakeZ3(const FakeZ3&) = delete;
  FakeZ3& operator=(const FakeZ3&) = delete;

 private:
  std::filesystem::path folder_;
  std::string old_path_;
};

std::string ErrorOf(const std::string& script) {
  const FakeZ3 fake(script);
  const auto answer = AskZ3(Preamble(), "true", After(std::chrono::minutes(1)));
  return answer ? "" : answer.error().ToString();
}

TEST(Z3, CallThatMakesTheConditionTrueIsTold) {
  const auto answer = AskZ3(Preamble(), "(and (= w3 #xfffffff0) (bvugt w15 #xfffffffe))",
                            After(std::chrono::minutes(1)));
  ASSERT_TRUE(answer.has_value()) << answer.error().ToString();
  EXPECT_EQ(answer->verdict, Z3Verdict::kCall);
  EXPECT_EQ(answer->call[3], 0xfffffff0);
  EXPECT_EQ(answer->call[15], 0xffffffff);
}

TEST(Z3, ConditionThatIsNeverTrueHasNoCall) {
  const auto answer = AskZ3(Preamble(), "(bvult w0 #x00000000)", After(std::chrono::minutes(1)));
  ASSERT_TRUE(answer.has_value()) << answer.error().ToString();
  EXPECT_EQ(answer->verdict, Z3Verdict::kNoCall);
}

TEST(Z3, QuestionThatTakesTooLongIsOpen) {
  const FakeZ3 fake("exec /bin/sleep 100");
  const auto begin = std::chrono::steady_clock::now();
  const auto answer = AskZ3(Preamble(), "true", After(std::chrono::milliseconds(100)));
  ASSERT_TRUE(answer.has_value()) << answer.error().ToString();
  EXPECT_EQ(answer->verdict, Z3Verdict::kOpen);
  EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(50));
}

TEST(Z3, WithoutEnoughMemoryTheQuestionIsOpen) {
  const FakeZ3 fake("echo '(error \"out of memory\")'");
  const auto answer = AskZ3(Preamble(), "true", After(std::chrono::minutes(1)));
  ASSERT_TRUE(answer.has_value()) << answer.error().ToString();
  EXPECT_EQ(answer->verdict, Z3Verdict::kOpen);
}

TEST(Z3, WhatIsNoAnswerIsAnError) {
  EXPECT_EQ(ErrorOf(""),
            "cannot run z3: it is in no folder of PATH; install it (on Debian the package z3), or "
            "ask without it");
  EXPECT_EQ(ErrorOf("exit 3"), "cannot understand z3's answer: it is empty");
  EXPECT_EQ(ErrorOf("kill -9 $$"), "cannot understand z3's answer: it is empty");
  EXPECT_EQ(ErrorOf("echo '(error \"line 1\")'; echo sat"),
            "cannot understand z3's answer: '(error \"line 1\")'");
  EXPECT_EQ(ErrorOf("echo sat; echo '((w0 #x00000000))'"), "cannot understand z3's answer: 'sat'");
  EXPECT_EQ(ErrorOf("echo sat; echo '((w0 many))'"), "cannot understand z3's answer: 'sat'");
}

// More than a pipe holds.
TEST(Z3, EndlessAnswerIsCutOff) {
  EXPECT_EQ(ErrorOf("while :; do echo yes; done"), "cannot understand z3's answer: 'yes'");
}

}  // namespace
}  // namespace callgate::analyse
