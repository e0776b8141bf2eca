// Calls as text, what a policy says about a call with holes, and the line that would allow one.

#include "policy/call_text.h"

#include <string>

#include "fmt/format.h"
#include "gtest/gtest.h"
#include "policy/reading_for_tests.h"
#include "policy/suggest.h"

namespace callgate::policy {
namespace {

TEST(Suggest, NamesTheLineThatWouldAllowTheCall) {
  Read read(
      "default: errno(EPERM)\narch: x86_64, i386\nioctl: cmd == TCGETS\n"
      "openat: flags only O_RDONLY|O_CLOEXEC && dfd == AT_FDCWD\nsocket: 1 -> kill\ndup: 0\n"
      "fchmod: mode & 0o7000 == 0\nas_of: linux 5.1\nread: fd == 1\nrestrict read: count < 9\n");
  ASSERT_TRUE(read.policy) << read.Messages();
  struct Case {
    const char* call;
    const char* line;
    const char* note;
  };
  for (const Case& one : {
           Case{"fdatasync(7)", "fdatasync",
                "@sync: fdatasync fsync msync sync sync_file_range sync_file_range2 syncfs"},
           Case{"newfstatat(1)", "x86_64.newfstatat", ""},
           Case{"ioctl(0, TIOCGWINSZ)", "ioctl: …; cmd == TIOCGWINSZ",
                "cmd == TCGETS fails: cmd is TIOCGWINSZ"},
           Case{"openat(AT_FDCWD, *, O_RDWR|O_CREAT)",
                "openat: …; flags == O_RDWR|O_CREAT && dfd == -100",
                "flags only O_RDONLY|O_CLOEXEC fails: flags is O_RDWR|O_CREAT"},
           Case{"socket(AF_INET, SOCK_STREAM, 0)", "socket: 1; …",
                "the clause at t.cg:5 says kill"},
           Case{"dup(3)", "dup: 1", ""},
           Case{"fchmod(3, 0o4755)", "fchmod: …; mode & 0o7000 == 0o4000",
                "mode & 0o7000 == 0 fails: mode is 0o4755"},
           Case{"clone3", "clone3", "since Linux 5.3, newer than as_of"},
           Case{"read(2)", "",
                "read is narrowed by `restrict`; every such rule must allow the call"},
           Case{"syscall_9999", "", "no call has number 9999"},
           Case{"aarch64.read(1)", "arch: x86_64, i386, aarch64",
                "the call came over the aarch64 ABI; its calls need rules too"},
           Case{"ioctl(0, TCGETS)", "", ""},
       }) {
    Suggestion suggestion = read.SuggestionFor(one.call);
    EXPECT_EQ(suggestion.line, one.line) << one.call;
    if (*one.note != '\0') {
      EXPECT_EQ(suggestion.note, one.note) << one.call;
    }
  }
}

TEST(CallText, CallsAreDecodedByTheirTables) {
  struct Case {
    const char* call;
    const char* shown;
  };
  for (const Case& one : {
           Case{"openat(AT_FDCWD, 0x7ffc1000, O_RDONLY|O_CLOEXEC)",
                "openat(AT_FDCWD, 0x7ffc1000, O_RDONLY|O_CLOEXEC, *)"},
           Case{"openat(dirfd=-100, \"/etc/passwd, (x)\", flags=O_CREAT|O_WRONLY, 0644)",
                "openat(AT_FDCWD, *, O_WRONLY|O_CREAT, 0o644)"},
           Case{"socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, *)",
                "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, *)"},
           Case{"sys_kill(-1, 9)", "kill(-1, SIGKILL)"},
           Case{"getpid", "getpid()"},
           Case{"mknod(0, S_IFCHR, dev(1, 3))", "mknod(NULL, 0o20000, dev(1, 3))"},
           Case{"i386.pread64(1, NULL, 5, 0x500000001)", "i386.pread64(1, NULL, 5, 0x500000001)"},
           Case{"  read( 3 , * , 4096 ) ", "read(3, *, 4096)"},
           Case{"syscall_999(1, 0x2)", "syscall_999(0x1, 0x2, *, *, *, *)"},
       }) {
    auto pattern = ParseCall(one.call, kHome);
    ASSERT_TRUE(pattern) << pattern.error().ToString();
    EXPECT_EQ(FormatPattern(*pattern, kHome), one.shown);
  }
}

TEST(CallText, MistakesAreExplained) {
  struct Case {
    const char* call;
    const char* message;
  };
  for (const Case& one : {
           Case{"opnat(1)",
                "cannot read the call 'opnat(1)': unknown system call 'opnat'; did you mean "
                "'openat'?"},
           Case{"mmap2(1)",
                "cannot read the call 'mmap2(1)': mmap2 does not exist on x86_64; put the ABI in "
                "front: i386.mmap2"},
           Case{"read(1, 2, 3, 4)",
                "cannot read the call 'read(1, 2, 3, 4)': read has 3 arguments, not 4"},
           Case{"read(1", "cannot read the call 'read(1': it does not end with ')'"},
           Case{"read(fs=1)", "cannot read the call 'read(fs=1)': read has no argument 'fs'"},
           Case{"read(1, , 3)",
                "cannot read the call 'read(1, , 3)': an argument is empty; write * for any value"},
           Case{"openat(0, *, O_CRAET)",
                "cannot read the argument 'O_CRAET': unknown constant 'O_CRAET'; did you mean "
                "'O_CREAT'?"},
           Case{"socket(4294967298)",
                "cannot read the argument '4294967298': argument 'family' of socket is 32 bits "
                "wide; 4294967298 can never match"},
       }) {
    auto pattern = ParseCall(one.call, kHome);
    ASSERT_FALSE(pattern) << one.call;
    EXPECT_EQ(pattern.error().ToString(), one.message);
  }
}

TEST(CallText, HexadecimalIsTheRegisterAsItStands) {
  auto pattern = ParseCall("socket(0x100000002, 1, 0)", kHome);
  ASSERT_TRUE(pattern) << pattern.error().ToString();
  EXPECT_EQ(pattern->call.args[0], 0x100000002U);
  EXPECT_EQ(FormatPattern(*pattern, kHome), "socket(0x100000002, SOCK_STREAM, IPPROTO_IP)");
}

TEST(CallText, WitnessShowsWhatTheKernelIgnores) {
  auto witness = [](std::string_view text) {
    return FormatWitness(ParseCall(text, kHome)->call, kHome);
  };
  EXPECT_EQ(witness("socket(0x100000002, 1, 0)"),
            "socket(0x100000002, SOCK_STREAM, IPPROTO_IP), to the kernel "
            "socket(AF_INET, SOCK_STREAM, IPPROTO_IP)");
  EXPECT_EQ(witness("socket(2, 1, 0)"), "socket(AF_INET, SOCK_STREAM, IPPROTO_IP)");
  EXPECT_EQ(witness("close(-1)"), "close(-1)");
  EXPECT_EQ(witness("close(0xffffffff)"), "close(-1)");
  EXPECT_EQ(witness("i386.close(3)"), "i386.close(3)");
}

TEST(JudgePattern, SaysWhichArgumentDecidesWithOneWitnessForEachVerdict) {
  Read read(
      "openat: flags & O_ACCMODE == O_RDONLY\nsocket: domain == AF_UNIX; type in 5..9 -> "
      "kill_thread\n"
      "read\n");
  auto judge = [&](std::string_view call) {
    PatternVerdicts verdicts = JudgePattern(*read.policy, *ParseCall(call, kHome));
    std::string text;
    for (const auto& one : verdicts.cases) {
      text += ToString(one.verdict.action, kHome) + " " + FormatCall(one.call, kHome) + "; ";
    }
    for (const std::string& name : verdicts.deciding) text += name + " ";
    return text + (verdicts.is_exhaustive ? "all" : "sample");
  };
  EXPECT_EQ(judge("read"), "allow read(0, NULL, 0); all");
  EXPECT_EQ(judge("openat(AT_FDCWD, *, O_RDONLY)"),
            "allow openat(AT_FDCWD, NULL, O_RDONLY, 0o0); all");
  EXPECT_EQ(judge("socket(AF_INET)"),
            "kill_thread socket(AF_INET, SOCK_SEQPACKET, IPPROTO_IP); kill socket(AF_INET, 0, "
            "IPPROTO_IP); type all");
  EXPECT_EQ(
      judge("openat"),
      "allow openat(0, NULL, O_RDONLY, 0o0); kill openat(0, NULL, O_WRONLY, 0o0); flags sample");
}

}  // namespace
}  // namespace callgate::policy
