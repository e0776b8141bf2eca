#include "policy/parser.h"

#include <ctime>
#include <string>

#include "base/diagnostic.h"
#include "base/source.h"
#include "gtest/gtest.h"
#include "policy/print.h"

namespace callgate::policy {
namespace {

struct Parsed {
  std::string canonical;
  std::string messages;
};

Parsed ParseText(std::string text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  base::FileId file = sources.Add("t.cg", std::move(text));
  ast::File ast = Parse(sources, file, diagnostics);
  return {Print(ast), base::Render(diagnostics, sources, base::Color::kNo)};
}

struct PrintCase {
  const char* text;
  const char* canonical;
};

class Canonical : public testing::TestWithParam<PrintCase> {};

TEST_P(Canonical, IsPrintedAndReadBackUnchanged) {
  Parsed once = ParseText(GetParam().text);
  EXPECT_EQ(once.messages, "");
  EXPECT_EQ(once.canonical, GetParam().canonical);
  Parsed twice = ParseText(once.canonical);
  EXPECT_EQ(twice.messages, "");
  EXPECT_EQ(twice.canonical, once.canonical);
}

INSTANTIATE_TEST_SUITE_P(
    Policies, Canonical,
    testing::Values(
        // The 2011 form.
        PrintCase{"sys_read: (fd == 1) || (fd == 2)\nsys_write: (fd == 0)\nsys_exit: 1\n"
                  "sys_exit_group: 1\non_next_syscall: 1\n",
                  "read: fd == 1 || fd == 2\nwrite: fd == 0\nexit: 1\nexit_group: 1\n"
                  "on_next_syscall: 1\n"},
        // The prefix stays where what is left would be no call.
        PrintCase{"sys_use\nsys_0\nsys_sys_read\n", "sys_use\nsys_0\nsys_sys_read\n"},
        // Settings, use, let, group, bare lines.
        PrintCase{"arch:x86_64,i386\ndefault: errno( EPERM )\nas_of: linux 6.1.44\nbad_arch: kill\n"
                  "unknown: errno(ENOSYS)\n",
                  "arch: x86_64, i386\ndefault: errno(EPERM)\nas_of: linux 6.1.44\nbad_arch: kill\n"
                  "unknown: errno(ENOSYS)\n"},
        PrintCase{"use \"a b.cg\"\nuse @base\nread , write\n@file-system,close\n",
                  "use \"a b.cg\"\nuse @base\nread, write\n@file-system, close\n"},
        PrintCase{
            "let std={0,1 , 2}\nlet big = 0XFF|O_RDONLY\nlet ro = flags&3==0\ngroup @x=read,@y\n",
            "let std = {0, 1, 2}\nlet big = 0xff|O_RDONLY\nlet ro = flags & 3 == 0\n"
            "group @x = read, @y\n"},
        // Predicates.
        PrintCase{"a: !(fd==1)&&(x&0644)==0600||y not in 1..5\n",
                  "a: (!(fd == 1) && x & 0o644 == 0o600) || y not in 1..5\n"},
        PrintCase{"a: ((fd == 1 && fd == 2) && !!b) && (c || (d || e))\n",
                  "a: fd == 1 && fd == 2 && !!b && (c || d || e)\n"},
        PrintCase{
            "a: arg0 as u64 > -1; path ~ \"/usr/lib/*.so*\"; path under {\"/a\",\"/b\\x00\\\"\"}\n",
            "a: arg0 as u64 > -1; path ~ \"/usr/lib/*.so*\"; path under {\"/a\", "
            "\"/b\\x00\\\"\"}\n"},
        PrintCase{
            "c: addr.ip in 10.0.0.0/8 && addr.ip in {::1, fe80::/10, 1.2.3.4}; dev == dev(1,3)\n",
            "c: addr.ip in 10.0.0.0/8 && addr.ip in {::1, fe80::/10, 1.2.3.4}; "
            "dev == dev(1, 3)\n"},
        PrintCase{"e: argv[1]==\"-c\" && argv.count<4;envp.PATH ~ \"/usr/*\"\n",
                  "e: argv[1] == \"-c\" && argv.count < 4; envp.PATH ~ \"/usr/*\"\n"},
        PrintCase{"ioctl: cmd == TIOCSTI->kill;cmd in {TCGETS,TIOCGWINSZ};else->errno(ENOTTY)\n",
                  "ioctl: cmd == TIOCSTI -> kill; cmd in {TCGETS, TIOCGWINSZ}; else -> "
                  "errno(ENOTTY)\n"},
        PrintCase{"override i386.socketcall: 1\nrestrict @io: 0\nfs.read: path under \"/usr\"\n"
                  "trace sched.sched_process_exec: pid > 3\n",
                  "override i386.socketcall: 1\nrestrict @io: 0\nfs.read: path under \"/usr\"\n"
                  "trace sched.sched_process_exec: pid > 3\n"},
        // Lines that go on.
        PrintCase{"read: fd == 1 ||\nfd == 2\nwrite: fd in {\n1,\n2\n}\nopen\n  , close\n"
                  "mmap: prot == 1;\n prot == 2\n",
                  "read: fd == 1 || fd == 2\nwrite: fd in {1, 2}\nopen, close\n"
                  "mmap: prot == 1; prot == 2\n"},
        // Comments and empty lines.
        PrintCase{"\n\n# head\n\n\n# of read\nread  # behind\n\n\nwrite\n# last\n",
                  "# head\n\n# of read\nread  # behind\n\nwrite\n# last\n"},
        PrintCase{
            "ioctl: # tty\n  # injection\n  cmd == TIOCSTI -> kill; # never\n  cmd in {TCGETS, # "
            "a\n"
            "  TCSETS} # b\n",
            "ioctl:\n    # tty\n    # injection\n    cmd == TIOCSTI -> kill;  # never\n    # a\n"
            "    cmd in {TCGETS, TCSETS}  # b\n"},
        PrintCase{"\nread\n\ngroup @a = read, # one\n  write # two\n",
                  "read\n\n# one\ngroup @a = read, write  # two\n"},
        PrintCase{"# only a comment", "# only a comment\n"}, PrintCase{"", ""},
        PrintCase{"read\r\nwrite\r\n", "read\nwrite\n"},
        PrintCase{"open: path == \"/srv/é\"\n", "open: path == \"/srv/é\"\n"},
        PrintCase{"futex: op & 127 in {FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE, FUTEX_CMP_REQUEUE, "
                  "FUTEX_WAKE_OP, FUTEX_WAIT_BITSET}\n",
                  "futex:\n    op & 127 in {FUTEX_WAIT, FUTEX_WAKE, FUTEX_REQUEUE, "
                  "FUTEX_CMP_REQUEUE, FUTEX_WAKE_OP,\n        FUTEX_WAIT_BITSET}\n"}));

struct ErrorCase {
  const char* text;
  const char* messages;
};

class SyntaxError : public testing::TestWithParam<ErrorCase> {};

TEST_P(SyntaxError, IsShownWithCaretAndHint) {
  EXPECT_EQ(ParseText(GetParam().text).messages, GetParam().messages);
}

INSTANTIATE_TEST_SUITE_P(
    Policies, SyntaxError,
    testing::Values(
        ErrorCase{"read: fd = 1\n",
                  "t.cg:1:10: error: expected a comparison after 'fd', found '='\n"
                  "    read: fd = 1\n"
                  "             ^\n"
                  "  note: comparisons are written '=='\n"},
        ErrorCase{"read: (fd == 1\nwrite: fd ==\nclose: 2\n",
                  "t.cg:1:7: error: this '(' is never closed\n"
                  "    read: (fd == 1\n"
                  "          ^\n"
                  "t.cg:2:13: error: expected a value before the end of the line\n"
                  "    write: fd ==\n"
                  "                ^\n"
                  "t.cg:3:8: error: '2' is not a test\n"
                  "    close: 2\n"
                  "           ^\n"
                  "  note: 1 always matches, 0 never; in a comparison the argument stands first: "
                  "`fd == 1`\n"},
        ErrorCase{"ioctl: cmd == ; arg <> 3; else\n",
                  "t.cg:1:15: error: expected a value, found ';'\n"
                  "    ioctl: cmd == ; arg <> 3; else\n"
                  "                  ^\n"
                  "t.cg:1:22: error: expected a value, found '>'\n"
                  "    ioctl: cmd == ; arg <> 3; else\n"
                  "                         ^\n"
                  "t.cg:1:31: error: expected '->' and an action before the end of the line\n"
                  "    ioctl: cmd == ; arg <> 3; else\n"
                  "                                  ^\n"},
        ErrorCase{"read: fd == 0899\n",
                  "t.cg:1:13: error: '0899' is not a number\n"
                  "    read: fd == 0899\n"
                  "                ^~~~\n"
                  "  note: a number that begins with 0 is octal, as in C\n"},
        ErrorCase{"read: count < 18446744073709551616\n",
                  "t.cg:1:15: error: 18446744073709551616 does not fit in 64 bits\n"
                  "    read: count < 18446744073709551616\n"
                  "                  ^~~~~~~~~~~~~~~~~~~~\n"},
        ErrorCase{"read: count < 10K\n",
                  "t.cg:1:15: error: '10K' is not a number\n"
                  "    read: count < 10K\n"
                  "                  ^~~\n"},
        ErrorCase{"read: fd in {}\n",
                  "t.cg:1:13: error: this set is empty; nothing is in it\n"
                  "    read: fd in {}\n"
                  "                ^~\n"
                  "  note: write 0 for a test that never holds\n"},
        ErrorCase{"open: path == \"/etc\nread: 1 == fd\n",
                  "t.cg:1:15: error: this string has no closing quote\n"
                  "    open: path == \"/etc\n"
                  "                  ^~~~~\n"
                  "  note: a string ends on the line it begins; write \\n for a line end\n"
                  "t.cg:2:7: error: a comparison begins with an argument\n"
                  "    read: 1 == fd\n"
                  "          ^\n"
                  "  note: write `fd == 1`, not `1 == fd`\n"},
        ErrorCase{"// no\n",
                  "t.cg:1:1: error: unexpected '//'\n"
                  "    // no\n"
                  "    ^~\n"
                  "  note: a comment begins with '#'\n"},
        ErrorCase{"mknod: dev == dev(5000, 1)\n",
                  "t.cg:1:15: error: no device has such numbers\n"
                  "    mknod: dev == dev(5000, 1)\n"
                  "                  ^~~~~~~~~~~~\n"
                  "  note: the major number is at most 4095, the minor at most 1048575\n"},
        ErrorCase{"override read\n",
                  "t.cg:1:14: error: expected ':' and what is allowed (`: 1` is everything, `: 0` "
                  "nothing) before the end of the line\n"
                  "    override read\n"
                  "                 ^\n"},
        ErrorCase{"\x7f\x45LF\x02\x01\x01",
                  "t.cg:1:1: error: control character 0x7f in a policy\n"
                  "    ?ELF???\n"
                  "    ^\n"
                  "  note: this does not look like a policy; nothing of the file was read\n"},
        ErrorCase{"read\n\xff\xfe\n",
                  "t.cg:2:1: error: byte 0xff is not UTF-8 text\n"
                  "    ??\n"
                  "    ^\n"
                  "  note: this does not look like a policy; nothing of the file was read\n"},
        ErrorCase{"read # \xe2\x80\xae\n",
                  "t.cg:1:8: error: U+202E changes the order in which text is shown\n"
                  "    read # ?\n"
                  "           ^\n"
                  "  note: a policy must be what it looks like; remove the character\n"}));

TEST(Parser, DeepNestingIsAnErrorAndTheRestIsStillRead) {
  std::string deep = "read: " + std::string(100'000, '(') + "fd == 1" + std::string(100'000, ')');
  Parsed parsed = ParseText("a: " + std::string(129, '!') + "b\n" + deep + "\nwrite: fd\n");
  EXPECT_EQ(parsed.canonical, "write: fd\n");
  EXPECT_EQ(parsed.messages.substr(0, parsed.messages.find('\n')),
            "t.cg:1:132: error: this expression is nested more than 128 deep");
  EXPECT_NE(parsed.messages.find("t.cg:2:135: error: this expression is nested more than 128 deep"),
            std::string::npos);
}

TEST(Parser, TenMegabytesAreReadInLinearTime) {
  // Texts that invite quadratic behaviour; each is about 10 MB.
  auto repeat = [](std::string_view piece, std::size_t size) {
    std::string text;
    while (text.size() < size) text += piece;
    return text;
  };
  constexpr std::size_t kSize = 10'000'000;
  for (const std::string& text :
       {repeat("# comment\n", kSize), repeat("\n", kSize), repeat("(", kSize),
        repeat("a: (\n", kSize),
        repeat("read: fd == 1 && count < 4096 && buf != 0 -> errno(EPERM) # because\n", kSize),
        "a: " + repeat("1:2:3:4:", kSize), "let x = " + repeat("a|", kSize), repeat("{1,", kSize),
        repeat("read,\n", kSize), repeat("- - ", kSize), repeat("\"", kSize)}) {
    const std::clock_t begin = std::clock();  // of this process: the machine may be busy
    ParseText(text);
    EXPECT_LT((std::clock() - begin) / CLOCKS_PER_SEC, 20) << text.substr(0, 20);
  }
}

TEST(Parser, TooManyNodesStopTheReadingWithOneError) {
  std::string text = "read: fd in {1}";
  while (text.size() < 9'000'000) text += "||fd==1";
  std::string messages = ParseText(text).messages;
  EXPECT_TRUE(messages.starts_with(
      "t.cg:1:3670024: error: this file has more than 1048576 comparisons, names and values\n"))
      << messages.substr(0, 200);
  EXPECT_TRUE(messages.ends_with(
      "  note: reading stopped here; a filter holds 4096 instructions, so most of this cannot be "
      "installed: split it into layers or write ranges\n"));
}

}  // namespace
}  // namespace callgate::policy
