#include "launch/report.h"

#include <fcntl.h>
#include <linux/audit.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "bpf/interpret.h"
#include "fmt/format.h"
#include "gtest/gtest.h"
#include "launch/decode.h"
#include "launch/escape.h"
#include "launch/guard.h"

namespace callgate::launch {
namespace {

class FakeTarget final : public TargetView {
 public:
  std::optional<std::string> DescriptorTarget(int fd) const override {
    auto found = descriptors.find(fd);
    return found == descriptors.end() ? std::nullopt : std::optional(found->second);
  }
  std::vector<std::byte> ReadMemory(std::uint64_t address, std::size_t size) const override {
    auto found = memory.find(address);
    if (found == memory.end()) return {};
    auto bytes = std::as_bytes(std::span(found->second));
    std::size_t length = std::min(size, bytes.size());
    return {bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(length)};
  }

  std::map<int, std::string> descriptors;
  std::map<std::uint64_t, std::string> memory;
};

abi::Call CallOf(std::int32_t nr, std::array<std::uint64_t, 6> args,
                 std::uint32_t arch = AUDIT_ARCH_X86_64) {
  return {.nr = nr, .arch = arch, .ip = 0, .args = args};
}

TEST(Escape, AHostileTargetCannotActOnTheTerminal) {
  struct Case {
    std::string_view raw;
    std::string_view shown;
  };
  using namespace std::literals;
  for (const Case& test : {Case{"plain", "plain"}, Case{"naïve 日本 🙂", "naïve 日本 🙂"},
                           Case{"\x1b]0;owned\x07", "\\x1b]0;owned\\x07"},
                           Case{"a\nb\tc\r", "a\\nb\\tc\\x0d"}, Case{"a\0b"sv, "a\\x00b"},
                           Case{"\"\\", "\\\"\\\\"}, Case{"\xff\xc0\xaf", "\\xff\\xc0\\xaf"},
                           Case{"\xed\xa0\x80", "\\xed\\xa0\\x80"},  // a surrogate
                           Case{"\xc2\x9b"
                                "31m",
                                "\\u{9b}31m"},  // CSI in one character
                           Case{"x\xe2\x80\xae"
                                "cod.exe",
                                "x\\u{202e}cod.exe"},
                           Case{"\xe2\x82", "\\xe2\\x82"}}) {  // cut off
    EXPECT_EQ(Escape(test.raw), test.shown);
  }
}

TEST(DecodeCall, ArgumentsAreNamedAndShownInWords) {
  FakeTarget target;
  target.descriptors = {{7, "/srv/audit.log"}, {8, "socket:[4711]"}, {9, "/tmp/\x1b[2J"}};
  target.memory[0x1000] = std::string("/etc/shadow\0", 12);
  target.memory[0x2000] = std::string("\x02\x00\x01\xbb\x0a\x00\x00\x01", 8) + std::string(8, '\0');
  target.memory[0x3000] = std::string("\x01\x00/run/x\0", 9);
  target.memory[0x4000] = std::string("\x01\x00\0name", 7);
  target.memory[0x5000] = std::string(64, 'x');
  std::string pointers(24, '\0');
  std::uint64_t first = 0x1000;
  std::memcpy(pointers.data(), &first, 8);
  target.memory[0x6000] = pointers;
  struct Case {
    abi::Call call;
    std::string_view text;
  };
  for (const Case& test :
       {Case{CallOf(75, {7}), "fdatasync(fd=7 </srv/audit.log>)"},
        Case{CallOf(75, {77}), "fdatasync(fd=77)"},
        Case{CallOf(75, {0xffffffff00000009}), "fdatasync(fd=9 </tmp/\\x1b[2J>)"},
        Case{CallOf(257, {0xffffff9c, 0x1000, 0x80000, 0}),
             "openat(dfd=AT_FDCWD, filename=\"/etc/shadow\", flags=O_RDONLY|O_CLOEXEC, mode=0)"},
        Case{CallOf(257, {7, 0xdead, 1, 0644}),
             "openat(dfd=7 </srv/audit.log>, filename=0xdead, flags=O_WRONLY, mode=0644)"},
        Case{CallOf(41, {2, 0x80001, 6}),
             "socket(family=AF_INET, type=SOCK_STREAM|SOCK_CLOEXEC, protocol=IPPROTO_TCP)"},
        Case{CallOf(42, {8, 0x2000, 16}),
             "connect(fd=8 <socket:[4711]>, uservaddr={AF_INET 10.0.0.1:443}, addrlen=16)"},
        Case{CallOf(42, {8, 0x3000, 9}),
             "connect(fd=8 <socket:[4711]>, uservaddr={AF_UNIX \"/run/x\"}, addrlen=9)"},
        Case{CallOf(42, {8, 0x4000, 7}),
             "connect(fd=8 <socket:[4711]>, uservaddr={AF_UNIX \"@name\"}, addrlen=7)"},
        Case{CallOf(62, {0xffffffff, 9}), "kill(pid=-1, sig=SIGKILL)"},
        Case{CallOf(59, {0x1000, 0x6000, 0}),
             "execve(filename=\"/etc/shadow\", argv=[\"/etc/shadow\"], envp=NULL)"},
        Case{CallOf(39, {0, 0, 0, 0, 0, 0}, AUDIT_ARCH_I386), "i386.mkdir(pathname=NULL, mode=0)"},
        Case{CallOf(1000, {1, 2}),
             "syscall 1000(arg0=0x1, arg1=0x2, arg2=0x0, arg3=0x0, arg4=0x0, arg5=0x0)"},
        Case{CallOf(1, {}, 0x12345678),
             "0x12345678.syscall 1(arg0=0x0, arg1=0x0, arg2=0x0, arg3=0x0, arg4=0x0, "
             "arg5=0x0)"}}) {
    EXPECT_EQ(DecodeCall(test.call, target).text, test.text);
  }
}

TEST(DecodeCall, CallsThatMeanTheSameHaveOneKey) {
  FakeTarget target;
  target.descriptors = {{7, "/a"}, {8, "/a"}, {9, "/b"}, {10, "socket:[1]"}, {11, "socket:[2]"}};
  auto key = [&](const abi::Call& call) { return DecodeCall(call, target).key; };
  EXPECT_EQ(key(CallOf(75, {7})), key(CallOf(75, {8})));
  EXPECT_NE(key(CallOf(75, {7})), key(CallOf(75, {9})));
  EXPECT_EQ(key(CallOf(75, {10})), key(CallOf(75, {11})));
  EXPECT_EQ(key(CallOf(0, {7, 0x1234, 10})), key(CallOf(0, {7, 0x5678, 20})));  // read
  EXPECT_NE(key(CallOf(41, {2, 1, 0})), key(CallOf(41, {10, 1, 0})));           // socket domain
}

const Denial kTranscript{
    .call = CallOf(75, {7}),
    .decoded = {.name = "fdatasync", .text = "fdatasync(fd=7 </srv/audit.log>)", .key = ""},
    .who = {.pid = 4117, .tid = 4117, .process_name = "worker", .thread_name = "worker"},
    .explanation = {.verdict = {abi::ActionKind::kErrno, EPERM},
                    .place = "app.cg:12",
                    .rule = "default errno(EPERM)",
                    .reason = "no rule mentions fdatasync",
                    .add = "fdatasync",
                    .group = "@sync: fsync fdatasync sync_file_range"}};

TEST(DenialText, IsTheTranscriptOfTheDesign) {
  EXPECT_EQ(DenialText(kTranscript),
            "callgate: denied  fdatasync(fd=7 </srv/audit.log>)  → EPERM   pid 4117 (worker)\n"
            "  rule      app.cg:12  default errno(EPERM)          (no rule mentions fdatasync)\n"
            "  add       fdatasync                                # @sync: fsync fdatasync "
            "sync_file_range\n");
}

TEST(DenialText, AThreadIsNamedBesideItsProcessAndAHostileNameIsShown) {
  Denial denial = kTranscript;
  denial.who.tid = 4119;
  denial.who.thread_name = "io\x1b[31m";
  denial.explanation = {.verdict = abi::kKillProcess};
  EXPECT_EQ(DenialText(denial),
            "callgate: denied  fdatasync(fd=7 </srv/audit.log>)  → SIGSYS (kill)   pid 4117 "
            "(worker) thread 4119 (io\\x1b[31m)\n");
}

TEST(DenialJson, HoldsTheSameFactsOnOneLineOfAscii) {
  Denial denial = kTranscript;
  denial.who.process_name = "w\xff\x1b";
  EXPECT_EQ(
      DenialJson(denial),
      R"j({"event":"denied","syscall":"fdatasync","call":"fdatasync(fd=7 </srv/audit.log>)",)j"
      R"j("action":"errno(EPERM)","outcome":"EPERM","pid":4117,"tid":4117,)j"
      R"j("process":"w\ufffd\u001b","thread":"worker","nr":75,"arch":"0xc000003e",)j"
      R"j("args":["0x7","0x0","0x0","0x0","0x0","0x0"],"place":"app.cg:12",)j"
      R"j("rule":"default errno(EPERM)","reason":"no rule mentions fdatasync",)j"
      R"j("add":"fdatasync","group":"@sync: fsync fdatasync sync_file_range"})j"
      "\n");
}

TEST(Reporter, AFloodOfDifferentCallsIsBounded) {
  int fd = memfd_create("errors", MFD_CLOEXEC);
  base::UniqueFd kept(dup(fd));
  Reporter reporter(ReportFormat::kText, Output(base::UniqueFd(fd)), Output());
  Explanation why{.verdict = {abi::ActionKind::kErrno, EPERM}, .place = "a.cg:1"};
  for (std::uint64_t domain = 0; domain < 10'000; ++domain) {
    reporter.Denied(CallOf(41, {1000 + domain, 0, 0}), 0, why, NoTarget(), [] { return true; });
  }
  reporter.FlushCounts();
  reporter.FlushCounts();  // nothing new to say
  std::string text(static_cast<std::size_t>(lseek(kept.get(), 0, SEEK_END)), '\0');
  ASSERT_EQ(pread(kept.get(), text.data(), text.size(), 0), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(std::ranges::count(text, '\n'), 16 * 2 + 1);
  EXPECT_TRUE(text.ends_with(
      "callgate: denied  socket(…)  → EPERM   9984 more times, with other arguments\n"))
      << text;
}

TEST(Output, AReaderThatDoesNotReadStopsNobodyAndLearnsWhatItMissed) {
  int fds[2];
  ASSERT_EQ(pipe(fds), 0);
  base::UniqueFd reader(fds[0]);
  Output output{base::UniqueFd(fds[1])};
  const std::string line(1023, 'x');
  for (int i = 0; i < 1000; ++i) output.Write(line + "\n");  // 1 MB; a pipe holds 64 KB
  EXPECT_TRUE(output.has_pending());
  fcntl(reader.get(), F_SETFL, O_NONBLOCK);
  std::string all;
  std::array<char, 65536> buffer;
  auto read_some = [&] {
    ssize_t size = 0;
    while ((size = read(reader.get(), buffer.data(), buffer.size())) > 0) {
      all.append(buffer.data(), static_cast<std::size_t>(size));
    }
    output.Push();
  };
  while (output.has_pending()) read_some();
  output.Write("last\n");
  while (output.has_pending()) read_some();
  read_some();
  auto whole_lines = static_cast<std::size_t>(std::ranges::count(all, '\n')) - 2;
  EXPECT_TRUE(all.ends_with(
      fmt::format("\ncallgate: {} reports lost, nobody read them\nlast\n", 1000 - whole_lines)))
      << all.substr(all.size() - 100);
}

TEST(ListenerGuard, RefusesNewListenersAndLeavesTheRestToTheProgram) {
  // Returns A, which the kernel zeroes: shows that the prefix leaves no trace in it.
  bpf::Program returns_a = {{0x16, 0, 0, 0}};
  bpf::Program guarded = WithListenerGuard(returns_a);
  constexpr std::uint32_t kBusy = SECCOMP_RET_ERRNO | EBUSY;
  struct Case {
    abi::Call call;
    std::uint32_t value;
  };
  for (const Case& test :
       {Case{CallOf(317, {1, 8}), kBusy}, Case{CallOf(317, {1, 0x38}), kBusy},
        Case{CallOf(317, {0xff00000001, 0xff00000008}), kBusy},
        Case{CallOf(0x40000000 | 317, {1, 8}), kBusy},
        Case{CallOf(354, {1, 8}, AUDIT_ARCH_I386), kBusy}, Case{CallOf(317, {1, 1}), 0},
        Case{CallOf(317, {0, 8}), 0}, Case{CallOf(354, {1, 8}), 0},
        Case{CallOf(317, {1, 8}, AUDIT_ARCH_I386), 0}, Case{CallOf(317, {1, 8}, 0xc00000b7), 0},
        Case{CallOf(0, {1, 8}), 0}}) {
    EXPECT_EQ(bpf::Interpret(guarded, abi::WordsOf(test.call, std::endian::native)), test.value)
        << test.call.nr << " " << test.call.args[1];
  }
}

TEST(ListenerGuard, IsNeededOnlyWhereThePolicyLetsSeccompThrough) {
  auto policy = [](abi::Action verdict) {
    return [verdict](const abi::Call&) { return Explanation{.verdict = verdict}; };
  };
  EXPECT_TRUE(MayMakeListener(policy(abi::kAllow)));
  EXPECT_FALSE(MayMakeListener(policy(abi::kKillProcess)));
  EXPECT_FALSE(MayMakeListener(policy({abi::ActionKind::kErrno, EPERM})));
  EXPECT_TRUE(MayMakeListener([](const abi::Call& call) {
    bool odd = call.arch == AUDIT_ARCH_I386 && call.args[1] == 0x29;
    return Explanation{.verdict = odd ? abi::kAllow : abi::kKillProcess};
  }));
}

}  // namespace
}  // namespace callgate::launch
