// What is exported, read back by the importer, is the policy; what cannot be is named.

#include "format/export.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <random>

#include "abi/call.h"
#include "abi/syscalls.h"
#include "fmt/format.h"
#include "policy/file_reader.h"
#include "policy/typecheck.h"

namespace callgate::format {
namespace {

policy::TypedPolicy Typed(const std::string& text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  policy::MemoryReader nothing({});
  auto typed =
      policy::ReadPolicyText("t.cg", text, nothing, abi::ArchId::kX86_64, sources, diagnostics);
  EXPECT_TRUE(typed) << base::Render(diagnostics, sources, base::Color::kNo) << text;
  return typed ? *typed : policy::TypedPolicy{};
}

std::string ErrorOf(const std::string& text, ForeignFormat format, Approximate approximate) {
  auto exported = Export(Typed(text), format, {.approximate = approximate});
  return exported ? "" : exported.error().ToString();
}

// The interpreter's opinion beside the exporter's own: every number × random and boundary
// arguments.
void ExpectSame(const policy::TypedPolicy& before, const policy::TypedPolicy& after,
                const std::string& text) {
  std::mt19937_64 random(7);
  static constexpr std::uint64_t kValues[] = {
      0, 1,  2,          3,          4,          5,           6,           7,         8,
      9, 10, 0x7fffffff, 0x80000000, 0xffffffff, 0x100000000, 0x100000001, UINT64_MAX};
  for (const policy::ArchPolicy& arch : before.arches) {
    for (const abi::Syscall& syscall : abi::SyscallsOf(arch.arch)) {
      bool is_ruled =
          std::ranges::find(arch.rules, syscall.nr, &policy::Rule::nr) != arch.rules.end();
      for (int i = 0; i < (is_ruled ? 300 : 1); ++i) {
        abi::Call call{
            .nr = syscall.nr, .arch = abi::ArchOf(arch.arch).audit_arch, .ip = 0, .args = {}};
        for (std::uint64_t& arg : call.args) arg = kValues[random() % std::size(kValues)];
        if (abi::ArchOf(arch.arch).bits == 32) {
          for (std::uint64_t& arg : call.args) arg &= UINT32_MAX;
        }
        ASSERT_EQ(KernelAction(Judge(before, call).action), KernelAction(Judge(after, call).action))
            << syscall.name << "(" << call.args[0] << ", " << call.args[1] << ", " << call.args[2]
            << ") on " << abi::ArchOf(arch.arch).name << "\n"
            << text;
      }
    }
  }
}

void ExpectRoundTrip(const std::string& text, ForeignFormat format) {
  policy::TypedPolicy before = Typed(text);
  auto exported = Export(before, format, {});
  ASSERT_TRUE(exported) << NameOf(format) << ": " << exported.error().ToString() << "\n" << text;
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  policy::MemoryReader nothing({});
  ImportOptions options;
  options.arch = before.arches.front().arch;
  // Found out from the text: what is written looks like what it is.
  auto imported = Import("t", exported->text, options, nothing, sources, diagnostics);
  ASSERT_TRUE(imported) << base::Render(diagnostics, sources, base::Color::kNo) << exported->text;
  EXPECT_EQ(imported->format, format);
  ExpectSame(before, Typed(imported->policy), exported->text);
}

constexpr ForeignFormat kWithArguments[] = {ForeignFormat::kOci,      ForeignFormat::kDocker,
                                            ForeignFormat::kSpo,      ForeignFormat::kFirecracker,
                                            ForeignFormat::kMinijail, ForeignFormat::kKafel};

TEST(Export, ArgumentTestsComeBackAsTheyWere) {
  const std::string text =
      "default: errno(EACCES)\n"
      "read, openat2, exit_group\n"
      "socket: domain in {AF_UNIX, AF_INET} && type & 0xf == SOCK_STREAM\n"
      "write: fd in 1..6; fd < 0\n"
      "ioctl: cmd == TCGETS; cmd == TIOCGWINSZ && fd == 0\n"
      "mmap: !(prot & PROT_EXEC) && len <= 0x100000000\n"
      "clone: flags only CLONE_VM|CLONE_FS\n"
      "lseek: whence != 2\n"
      "restrict socket: protocol == 0\n";
  for (ForeignFormat format : kWithArguments) ExpectRoundTrip(text, format);
}

TEST(Export, SeveralAbisInOneProfile) {
  const std::string text =
      "arch: x86_64, i386\n"
      "default: errno(EPERM)\n"
      "read, write, exit_group\n"
      "kill: sig in 1..15\n"
      "i386.waitpid, i386._llseek\n"
      "x86_64.newfstatat\n";
  for (ForeignFormat format : {ForeignFormat::kOci, ForeignFormat::kDocker, ForeignFormat::kSpo}) {
    ExpectRoundTrip(text, format);
  }
}

TEST(Export, ListsOfCallsForSystemd) {
  ExpectRoundTrip("default: errno(EPERM)\n@basic-io\n@signal\nexecve\n", ForeignFormat::kSystemd);
  ExpectRoundTrip("default: kill\nread\n", ForeignFormat::kSystemd);
  ExpectRoundTrip(
      "default: allow\nunknown: allow\nreboot: 0 ; else -> kill\nmount: else -> errno(EACCES)\n",
      ForeignFormat::kSystemd);
}

TEST(Export, WhatAFormatCannotSayIsNamed) {
  EXPECT_EQ(
      ErrorOf("default: errno(EPERM)\nread: fd == 0\n", ForeignFormat::kSystemd, Approximate::kNo),
      "cannot export to systemd: the format cannot say all of the policy (--approximate "
      "tighter or looser writes what comes nearest on that side):\n"
      "  read: allow becomes errno(EPERM)");
  EXPECT_EQ(ErrorOf("default: errno(EPERM)\nread\nwrite: fd == 1; fd == 2 -> kill\n",
                    ForeignFormat::kOci, Approximate::kNo),
            "cannot export to oci: the format cannot say all of the policy (--approximate "
            "tighter or looser writes what comes nearest on that side):\n"
            "  write: allow becomes kill\n"
            "  write: errno(EPERM) becomes kill");
  // libseccomp gives socketcall what socket has.
  EXPECT_EQ(ErrorOf("arch: i386\ndefault: errno(EPERM)\nread, socket\nsocketcall: 0\n",
                    ForeignFormat::kOci, Approximate::kNo),
            "cannot export to oci: the format cannot say all of the policy (--approximate "
            "tighter or looser writes what comes nearest on that side):\n"
            "  socketcall: errno(EPERM) becomes allow");
  EXPECT_NE(ErrorOf("default: notify\nread\n", ForeignFormat::kFirecracker, Approximate::kNo), "");
  EXPECT_NE(ErrorOf("default: trap(3)\nread\n", ForeignFormat::kOci, Approximate::kLooser), "");
}

TEST(Export, ApproximationsGoTheirWayAndAreListed) {
  const std::string text = "default: errno(EPERM)\nread: fd == 0\nwrite\n";
  auto tighter =
      Export(Typed(text), ForeignFormat::kSystemd, {.approximate = Approximate::kTighter});
  ASSERT_TRUE(tighter);
  EXPECT_EQ(std::ranges::count(tighter->notes, "read: allow becomes errno(EPERM)"), 1);
  auto looser = Export(Typed(text), ForeignFormat::kSystemd, {.approximate = Approximate::kLooser});
  ASSERT_TRUE(looser);
  EXPECT_EQ(std::ranges::count(looser->notes, "read: errno(EPERM) becomes allow"), 1);
  EXPECT_NE(looser->text.find("read"), std::string::npos);
}

// Random rules: what is exported without a word is the policy.
TEST(Export, RandomPoliciesComeBackOrAreRefused) {
  static constexpr const char* kTests[] = {"arg0 == 3",       "arg0 as u64 == 0x100000001",
                                           "arg1 & 6 == 4",   "arg1 & 9",
                                           "arg2 < 7",        "arg2 as s32 < 2",
                                           "arg0 != 5",       "arg1 not in {1, 4..6}",
                                           "!(arg0 in 2..9)", "arg2 only 0x13",
                                           "arg1 has 0x11",   "arg0 as s32 >= -2"};
  static constexpr const char* kCalls[] = {"write", "ioctl", "socket", "futex", "openat", "prctl"};
  const char* count = std::getenv("CALLGATE_RANDOM_EXPORTS");
  const int runs = count != nullptr ? std::atoi(count) : 20;
  std::mt19937_64 random(1);
  int exact = 0;
  for (int run = 0; run < runs; ++run) {
    std::string text = "default: errno(EPERM)\nread, exit_group\n";
    for (const char* call : kCalls) {
      auto test = [&] { return kTests[random() % std::size(kTests)]; };
      const auto kind = random() % 4;
      if (kind == 0) text += fmt::format("{}: {}\n", call, test());
      if (kind == 1) text += fmt::format("{}: {} && {}\n", call, test(), test());
    }
    policy::TypedPolicy before = Typed(text);
    for (ForeignFormat format : kWithArguments) {
      auto exported = Export(before, format, {});
      if (!exported) continue;
      ++exact;
      ImportOptions options;
      options.format = format;
      options.arch = abi::ArchId::kX86_64;
      base::SourceMap sources;
      base::Diagnostics diagnostics;
      policy::MemoryReader nothing({});
      auto imported = Import("t", exported->text, options, nothing, sources, diagnostics);
      ASSERT_TRUE(imported);
      ExpectSame(before, Typed(imported->policy), text);
      if (HasFatalFailure()) return;
    }
  }
  EXPECT_GE(exact, runs);
}

}  // namespace
}  // namespace callgate::format
