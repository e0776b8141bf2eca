#include "analyse/audit_log.h"

#include <gtest/gtest.h>

namespace callgate::analyse {
namespace {

const AuditRecord kWorker{4117,       "worker", "/srv/worker",  31,
                          0xc000003e, 75,       0x7f1c0de0a51b, 0x80000000};

TEST(AuditLog, KernelLineIsRead) {
  EXPECT_EQ(FindAuditRecords(
                "[  9.1] audit: type=1326 audit(1764.123:45): auid=4294967295 uid=0 gid=0 "
                "ses=4294967295 subj=unconfined pid=4117 comm=\"worker\" exe=\"/srv/worker\" "
                "sig=31 arch=c000003e syscall=75 compat=0 ip=0x7f1c0de0a51b code=0x80000000\n"),
            std::vector{kWorker});
}

TEST(AuditLog, LineOfAuditdWithWordsBehindItIsRead) {
  EXPECT_EQ(FindAuditRecords(
                "type=SECCOMP msg=audit(1764.123:45): auid=0 uid=0 gid=0 ses=1 pid=4117 "
                "comm=\"worker\" exe=\"/srv/worker\" sig=31 arch=c000003e syscall=75 compat=0 "
                "ip=0x7f1c0de0a51b code=0x80000000\x1d"
                "ARCH=x86_64 SYSCALL=fdatasync AUID=\"root\""),
            std::vector{kWorker});
}

TEST(AuditLog, JournalAsJsonIsRead) {
  EXPECT_EQ(
      FindAuditRecords(R"({"MESSAGE":"audit: type=1326 audit(1.2:3): pid=4117 comm=\"worker\" )"
                       R"(exe=\"/srv/worker\" sig=31 arch=c000003e syscall=75 compat=0 )"
                       R"(ip=0x7f1c0de0a51b code=0x80000000","PRIORITY":"5"})"),
      std::vector{kWorker});
}

TEST(AuditLog, NameWithABlankIsInHexDigits) {
  const auto records = FindAuditRecords(
      "type=1326 audit(1.2:3): pid=1 comm=6D7920776F726B6572 arch=c000003e syscall=-1 "
      "code=0x50000");
  ASSERT_EQ(records.size(), 1);
  EXPECT_EQ(records[0].comm, "my worker");
  EXPECT_EQ(records[0].nr, -1);
  EXPECT_EQ(records[0].exe, "");
}

TEST(AuditLog, OtherLinesAndRecordsWithoutACallArePassedOver) {
  EXPECT_TRUE(FindAuditRecords("type=1300 audit(1.2:3): arch=c000003e syscall=75\n"
                               "type=1326 audit(1.2:3): pid=1 comm=\"x\"\n"
                               "type=1326 audit(1.2:3): arch=zz syscall=75 code=0x0\n"
                               "type=1326")
                  .empty());
}

}  // namespace
}  // namespace callgate::analyse
