#include "launch/last_denials.h"

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "gtest/gtest.h"
#include "launch/report.h"

namespace callgate::launch {
namespace {

namespace fs = std::filesystem;

class LastDenials : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string name = (fs::temp_directory_path() / "callgate-last-XXXXXX").string();
    ASSERT_NE(mkdtemp(name.data()), nullptr);
    home_ = name;
    folder_ = name + "/state/callgate";
  }
  void TearDown() override { fs::remove_all(home_); }

  fs::path file() const { return fs::path(folder_) / "last-denials"; }
  std::string Content() const {
    std::ifstream in(file());
    return {std::istreambuf_iterator<char>(in), {}};
  }
  void Put(const std::string& text) {
    fs::create_directories(folder_);
    std::ofstream(file()) << text;
  }
  std::string Refusal() const {
    const auto run = ReadLastRun(folder_);
    return run ? "none" : run.error().ToString();
  }

  fs::path home_;
  std::string folder_;
};

std::string Denied(const std::string& call) {
  return R"j({"event":"denied","call":")j" + call +
         R"j(","action":"errno(1)","outcome":"EPERM","pid":7,"tid":7,"process":"w","nr":75,)j"
         R"j("arch":"0xc000003e","args":["0x7","0xffffffffffffffff"],"place":"a.cg:2",)j"
         R"j("rule":"default errno(EPERM)","reason":"why","add":"fdatasync","group":"@sync"})j"
         "\n";
}

TEST_F(LastDenials, RunWithoutADenialLeavesNothing) {
  DenialRecord record(folder_);
  record.Note("{\"event\":\"started\"}\n");
  record.NoteEnd("{\"event\":\"exited\"}\n");
  EXPECT_FALSE(fs::exists(home_ / "state"));
  const auto run = ReadLastRun(folder_);
  ASSERT_TRUE(run.has_value());
  EXPECT_FALSE(run->has_value());
}

TEST_F(LastDenials, WhatWasReportedIsReadAgain) {
  DenialRecord record(folder_);
  record.Note("{\"event\":\"started\",\"pid\":7,\"command\":[\"w\",\"-x\"]}\n");
  record.Denied(Denied("fdatasync(fd=7)"));
  record.Note(
      "{\"event\":\"repeated\",\"call\":\"fdatasync(fd=7)\",\"action\":\"errno(1)\",\"count\":3}"
      "\n");
  record.NoteEnd("{\"event\":\"exited\",\"status\":4}\n");
  const auto run = ReadLastRun(folder_);
  ASSERT_TRUE(run.has_value() && run->has_value());
  EXPECT_EQ((*run)->command, (std::vector<std::string>{"w", "-x"}));
  EXPECT_EQ((*run)->pid, 7);
  EXPECT_EQ((*run)->status, 4);
  ASSERT_EQ((*run)->denials.size(), 1);
  const KeptDenial& denial = (*run)->denials[0];
  EXPECT_EQ(DenialText(denial),
            "callgate: denied  fdatasync(fd=7)  → EPERM   pid 7 (w)\n"
            "  rule      a.cg:2  default errno(EPERM)             (why)\n"
            "  add       fdatasync                                # @sync\n");
  EXPECT_EQ(denial.repeats, 3);
  EXPECT_EQ(denial.registers.nr, 75);
  EXPECT_EQ(denial.registers.arch, 0xc000003e);
  EXPECT_EQ(denial.registers.args[1], UINT64_MAX);
}

TEST_F(LastDenials, FileAndFolderAreTheUsersAlone) {
  const mode_t before = umask(0);
  DenialRecord record(folder_);
  record.Denied(Denied("a()"));
  umask(before);
  struct stat info{};
  ASSERT_EQ(stat(file().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0600);
  ASSERT_EQ(stat(folder_.c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 07777, 0700);
}

TEST_F(LastDenials, LaterRunTakesTheNameAndTheOtherDoesNotMixIn) {
  DenialRecord first(folder_);
  first.Denied(Denied("first()"));
  DenialRecord second(folder_);
  second.Denied(Denied("second()"));
  first.Denied(Denied("late()"));
  EXPECT_EQ(Content(), Denied("second()"));
}

TEST_F(LastDenials, LinkInItsPlaceIsReplacedAndNotFollowed) {
  Put("");
  fs::remove(file());
  const fs::path victim = home_ / "victim";
  std::ofstream(victim) << "precious";
  fs::create_symlink(victim, file());
  EXPECT_EQ(Refusal(), "cannot read " + file().string() +
                           ": Too many levels of symbolic links (a link stands in its place)");
  DenialRecord(folder_).Denied(Denied("a()"));
  EXPECT_FALSE(fs::is_symlink(file()));
  EXPECT_EQ(fs::file_size(victim), 8);
  EXPECT_EQ(Content(), Denied("a()"));
}

TEST_F(LastDenials, FolderThatIsALinkOrOthersCanWriteToIsNotUsed) {
  const fs::path elsewhere = home_ / "elsewhere";
  fs::create_directories(elsewhere);
  fs::create_directories(home_ / "state");
  fs::create_directory_symlink(elsewhere, folder_);
  DenialRecord(folder_).Denied(Denied("a()"));
  EXPECT_TRUE(fs::is_empty(elsewhere));
  fs::remove(folder_);
  fs::create_directory(folder_);
  fs::permissions(folder_, fs::perms::all);
  DenialRecord(folder_).Denied(Denied("a()"));
  EXPECT_TRUE(fs::is_empty(folder_));
  EXPECT_EQ(Refusal(), "cannot read " + file().string() +
                           ": Operation not permitted (it, or its folder, is not yours alone)");
}

TEST_F(LastDenials, PipeInItsPlaceIsRefusedAndNotWaitedFor) {
  Put("");
  fs::remove(file());
  ASSERT_EQ(mkfifo(file().c_str(), 0600), 0);
  EXPECT_EQ(Refusal(), "cannot read " + file().string() +
                           ": Operation not permitted (it, or its folder, is not yours alone)");
}

TEST_F(LastDenials, FileStopsGrowing) {
  DenialRecord record(folder_);
  const std::string line = Denied(std::string(4000, 'x'));
  for (int i = 0; i < 1000; ++i) record.Denied(line);
  EXPECT_GT(fs::file_size(file()), 900'000);
  EXPECT_LE(fs::file_size(file()), std::size_t{1} << 20);
}

TEST_F(LastDenials, WhatNoReporterWritesIsPassedOver) {
  Put("hello\n[1]\n{\"event\":\"denied\",\"call\":{}}\n" + Denied("ok()") +
      Denied("moves \\u001b[2J the cursor()") + Denied("turns \\u202e around()") +
      "{\"event\":\"denied\",\"call\":\"cut");
  const auto run = ReadLastRun(folder_);
  ASSERT_TRUE(run.has_value() && run->has_value());
  std::vector<std::string> calls;
  for (const KeptDenial& denial : (*run)->denials) calls.push_back(denial.call);
  EXPECT_EQ(calls, (std::vector<std::string>{"", "ok()"}));  // the first has no text that is one
}

}  // namespace
}  // namespace callgate::launch
