#include "supervise/identity.h"

#include <sys/stat.h>
#include <unistd.h>

#include <string>

#include "gtest/gtest.h"
#include "supervise/pending_signal.h"

namespace callgate::supervise {
namespace {

const std::string kStatus =
    "Name:\tx\\nUid:\t0 0 0 0\nUmask:\t0027\nState:\tS "
    "(sleeping)\nTgid:\t41\nPid:\t42\nTracerPid:\t7\n"
    "Uid:\t1000\t1001\t1002\t1003\nGid:\t1\t2\t3\t4\nGroups:\t5 60 700 \nThreads:\t2\n"
    "SigPnd:\t0000000000000000\nShdPnd:\t0000000000000000\nSigBlk:\t0000000000000000\n"
    "SigIgn:\t0000000000000000\nCapEff:\t000001ffffffffff\n";

TEST(ParseStatus, ReadsWhoAThreadIs) {
  auto identity = ParseStatus(kStatus);
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->tgid, 41);
  EXPECT_EQ(identity->tracer, 7);
  EXPECT_EQ(identity->umask, 027U);
  EXPECT_EQ(identity->credentials.uids, (std::array<uid_t, 4>{1000, 1001, 1002, 1003}));
  EXPECT_EQ(identity->credentials.gids, (std::array<gid_t, 4>{1, 2, 3, 4}));
  EXPECT_EQ(identity->credentials.groups, (std::vector<gid_t>{5, 60, 700}));
  EXPECT_EQ(identity->credentials.effective_capabilities, 0x1ffffffffffU);
}

// A thread names itself; the kernel escapes the newline, so the name cannot hold a line.
TEST(ParseStatus, NameCannotForgeALine) {
  EXPECT_EQ(ParseStatus(kStatus)->credentials.uids[0], 1000U);
}

TEST(ParseStatus, MissingLineIsNoIdentity) {
  for (std::string label : {"Umask", "Tgid", "TracerPid", "Uid", "Gid", "Groups", "CapEff"}) {
    std::string text = kStatus;
    text.replace(text.rfind("\n" + label + ":"), label.size() + 2, "\nOther:");
    EXPECT_FALSE(ParseStatus(text)) << label;
  }
  EXPECT_FALSE(ParseStatus(""));
}

TEST(ReadIdentity, OfThisThread) {
  mode_t before = umask(0123);
  auto identity = ReadIdentity(gettid());
  umask(before);
  ASSERT_TRUE(identity);
  EXPECT_EQ(identity->tgid, getpid());
  EXPECT_EQ(identity->umask, 0123U);
  EXPECT_EQ(identity->credentials.uids[1], geteuid());
  EXPECT_NE(identity->credentials.user_namespace, 0U);
}

TEST(ReadIdentity, OfNobodyIsNone) { EXPECT_FALSE(ReadIdentity(0x7fffffff)); }

TEST(FileSizeLimit, IsTheSoftOne) {
  const std::string head = "Limit   Soft Limit   Hard Limit   Units\n";
  EXPECT_EQ(ParseFileSizeLimit(head + "Max file size             512      unlimited   bytes\n"),
            512U);
  EXPECT_EQ(ParseFileSizeLimit(head + "Max file size             unlimited  unlimited  bytes\n"),
            RLIM_INFINITY);
  EXPECT_FALSE(ParseFileSizeLimit(head));
  EXPECT_FALSE(ParseFileSizeLimit(head + "Max file size             \n"));
  rlimit own{};
  ASSERT_EQ(getrlimit(RLIMIT_FSIZE, &own), 0);
  EXPECT_EQ(ReadFileSizeLimit(gettid()), own.rlim_cur);
}

std::string WithSignals(const std::string& own, const std::string& shared,
                        const std::string& blocked, int threads) {
  return "Threads:\t" + std::to_string(threads) + "\nSigQ:\t0/1\nSigPnd:\t" + own + "\nShdPnd:\t" +
         shared + "\nSigBlk:\t" + blocked + "\nSigIgn:\t0\n";
}

TEST(PendingSignal, OfTheThreadOrOfItsProcess) {
  auto parse = [](const std::string& text) { return ParsePendingSignal("Name:\tx\n" + text); };
  EXPECT_EQ(parse(WithSignals("0", "0", "0", 1)), PendingSignal::kNone);
  EXPECT_EQ(parse(WithSignals("200", "0", "0", 4)), PendingSignal::kOwn);
  EXPECT_EQ(parse(WithSignals("0", "200", "0", 1)), PendingSignal::kOwn);
  EXPECT_EQ(parse(WithSignals("0", "200", "0", 4)), PendingSignal::kMaybeAnothers);
  EXPECT_EQ(parse(WithSignals("200", "200", "200", 1)), PendingSignal::kNone);
}

}  // namespace
}  // namespace callgate::supervise
