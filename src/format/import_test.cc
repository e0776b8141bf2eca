// Foreign policies and what becomes of them. That the policy decides as the file's runtime does is
// checked by tests/foreign_test.py, call by call; here stand texts, notes and messages.

#include "format/import.h"

#include <gtest/gtest.h>

#include <map>

#include "fmt/format.h"

namespace callgate::format {
namespace {

struct Outcome {
  std::optional<Imported> imported;
  std::string messages;
  std::string policy;  // without the comments on top
};

Outcome Read(std::string text, ImportOptions options = {},
             std::map<std::string, std::string> files = {}, const std::string& name = "t") {
  if (!options.arch) options.arch = abi::ArchId::kX86_64;
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  policy::MemoryReader reader(std::move(files));
  Outcome outcome;
  outcome.imported = Import(name, std::move(text), options, reader, sources, diagnostics);
  outcome.messages = base::Render(diagnostics, sources, base::Color::kNo);
  EXPECT_EQ(outcome.imported.has_value(), outcome.messages.empty()) << outcome.messages;
  if (!outcome.imported) return outcome;
  std::string_view rest = outcome.imported->policy;
  while (rest.starts_with('#')) rest.remove_prefix(std::min(rest.find('\n') + 1, rest.size()));
  outcome.policy = rest;
  return outcome;
}

std::string FirstLine(const std::string& text) { return text.substr(0, text.find('\n')); }

TEST(Detect, GoesByWhatIsInTheFile) {
  struct Case {
    const char* name;
    std::string text;
    std::optional<ForeignFormat> format;
  };
  const Case cases[] = {
      {"a", "{\"defaultAction\": \"SCMP_ACT_ALLOW\"}", ForeignFormat::kOci},
      {"a", "{\n \"defaultAction\": \"\", \"archMap\": []}", ForeignFormat::kDocker},
      {"a", "{\"vmm\": {\"default_action\": \"trap\"}}", ForeignFormat::kFirecracker},
      {"a", "---\nkind: SeccompProfile\n", ForeignFormat::kSpo},
      {"a", "[Service]\nSystemCallFilter=@basic-io\n", ForeignFormat::kSystemd},
      {"a.service", "[Install]\n", ForeignFormat::kSystemd},
      {"a", "# c\nread: 1\n", ForeignFormat::kMinijail},
      {"a", "{read, write}: 1\n", ForeignFormat::kMinijail},
      {"a", "@default trap\n", ForeignFormat::kMinijail},
      {"a", "// c\nPOLICY p { ALLOW { read } } USE p\n", ForeignFormat::kKafel},
      {"a", "#define A 1\n", ForeignFormat::kKafel},
      {"a", std::string("\x20\0\0\0\0\0\0\0", 8), ForeignFormat::kRaw},
      {"a", "", std::nullopt},
      {"a", "hello\n", std::nullopt},
  };
  for (const Case& c : cases) EXPECT_EQ(Detect(c.name, c.text), c.format) << c.text;
}

TEST(Oci, RepeatedArgumentIsOrAndDefaultsAreDropped) {
  Outcome outcome = Read(
      R"({"defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38, "syscalls": [
        {"names": ["read", "frobnicate"], "action": "SCMP_ACT_ALLOW"},
        {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38},
        {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
          {"index": 0, "value": 1, "op": "SCMP_CMP_GE"},
          {"index": 0, "value": 4294967336, "op": "SCMP_CMP_NE"}]}]})");
  EXPECT_EQ(outcome.policy,
            "arch: x86_64, x32\n"
            "default: errno(ENOSYS)\n"
            "unknown: errno(ENOSYS)\n"
            "bad_arch: kill_thread\n"
            "\n"
            "x86_64.read\n"
            "x86_64.socket: family as u64 >= 1 || family as u64 != 0x100000028\n"
            "x32.nr(1073741824..1073742847): else -> errno(ENOSYS)\n");
  ASSERT_TRUE(outcome.imported);
  EXPECT_EQ(
      outcome.imported->notes,
      (std::vector<std::string>{
          "no kernel has a call 'frobnicate'; runtimes skip it",
          "1 rule with the default's action is dropped, as runtimes do",
          "socket: several conditions on one argument are read as AND by people and executed "
          "as OR by runtimes; the policy says OR",
          "x86_64: numbers above 165 (mount) get errno(ENOSYS), as runc does; crun gives them "
          "the default"}));
}

TEST(Oci, SocketHasItsCompanionOnI386) {
  Outcome outcome = Read(
      R"({"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
        {"names": ["socket"], "action": "SCMP_ACT_ERRNO", "args": [
          {"index": 0, "value": 40, "op": "SCMP_CMP_EQ"}]}]})",
      {.format = {},
       .arch = abi::ArchId::kI386,
       .capabilities = {},
       .kernel = {},
       .member = {},
       .include_directory = {}});
  EXPECT_EQ(outcome.policy,
            "arch: i386\n"
            "default: allow\n"
            "unknown: allow\n"
            "bad_arch: kill_thread\n"
            "\n"
            "ipc: 0\n"
            "socket: family == AF_VSOCK -> errno(EPERM)\n"
            "socketcall: call == SYS_SOCKET -> errno(EPERM)\n");
}

TEST(Foreign, MistakesAreShownWhereTheyAre) {
  struct Case {
    ForeignFormat format;
    const char* text;
    const char* first_line;
  };
  using F = ForeignFormat;
  const Case cases[] = {
      {F::kOci, "[]", "t:1:1: error: a seccomp profile is a JSON object"},
      {F::kOci, "{\"a\": 1}", "t:1:1: error: this object has no 'defaultAction'"},
      {F::kOci, "{\"linux\": {}}", "t:1:11: error: this configuration has no linux.seccomp"},
      {F::kOci, "{\"defaultAction\": 7}", "t:1:19: error: 'defaultAction' must be a string"},
      {F::kOci, "{\"defaultAction\": \"SCMP_ACT_ALOW\"}",
       "t:1:19: error: unknown action 'SCMP_ACT_ALOW'"},
      {F::kOci, "{\"defaultAction\": \"SCMP_ACT_NOTIFY\"}",
       "t:1:19: error: the default action cannot be SCMP_ACT_NOTIFY"},
      {F::kOci, "{\"defaultAction\": \"SCMP_ACT_LOG\",\n\"architectures\": [\"SCMP_ARCH_X68\"]}",
       "t:2:19: error: unknown architecture 'SCMP_ARCH_X68'"},
      {F::kOci,
       "{\"defaultAction\": \"SCMP_ACT_LOG\", \"syscalls\":\n"
       "[{\"names\": [\"read\"], \"action\": \"SCMP_ACT_KILL\", \"args\":\n"
       "[{\"index\": 6, \"op\": \"SCMP_CMP_EQ\"}]}]}",
       "t:3:12: error: there is no argument 6: they are 0 to 5"},
      {F::kOci,
       "{\"defaultAction\": \"SCMP_ACT_LOG\", \"syscalls\":\n"
       "[{\"names\": [\"read\"], \"action\": \"SCMP_ACT_KILL\", \"args\":\n"
       "[{\"index\": 0, \"value\": 18446744073709551616, \"op\": \"SCMP_CMP_EQ\"}]}]}",
       "t:3:24: error: '18446744073709551616' is no whole number from 0 to 18446744073709551615"},
      {F::kOci,
       "{\"defaultAction\": \"SCMP_ACT_LOG\", \"syscalls\":\n"
       "[{\"names\": [\"write\"], \"action\": \"SCMP_ACT_NOTIFY\"}]}",
       "t:2:13: error: SCMP_ACT_NOTIFY cannot be used for the write system call"},
      {F::kOci, "{\"defaultAction\": \"SCMP_ACT_ERRNO\", \"defaultErrnoRet\": 4095}",
       "t:1:56: error: libseccomp takes error numbers up to 4094, not 4095"},
      {F::kSpo, "a: b\n", "t:1:1: error: no object of this file is a SeccompProfile"},
      {F::kSpo, "kind: SeccompProfile\nspec:\n  baseProfileName: runc\n",
       "t:3:20: error: 'baseProfileName' stands for rules that are not in this file"},
      {F::kFirecracker, "{}", "t:1:1: error: a file of seccompiler is an object of filters"},
      {F::kFirecracker, "{\"a\": {}, \"b\": {}}",
       "t:1:11: error: the file has a filter for each of several threads"},
      {F::kFirecracker,
       "{\"a\": {\"default_action\": \"trap\", \"filter_action\": \"trap\", \"filter\": []}}",
       "t:1:51: error: 'filter_action' and 'default_action' are the same"},
      {F::kFirecracker,
       "{\"a\": {\"default_action\": \"trap\", \"filter_action\": \"allow\", \"filter\": [\n"
       "{\"syscall\": \"opne\"}]}}",
       "t:2:13: error: unknown system call 'opne'"},
      {F::kMinijail, "read: 1\nopne: 1\n", "t:2:1: error: unknown system call 'opne'"},
      {F::kMinijail, "waitpid: 1\n", "t:1:1: error: waitpid does not exist on x86_64"},
      {F::kMinijail, "read: arg6 == 1\n",
       "t:1:7: error: 'arg6' is no argument: they are arg0 to arg5"},
      {F::kMinijail, "read: arg0 =! 1\n",
       "t:1:13: error: this character has no place in a minijail policy"},
      {F::kMinijail, "read: arg0 == FOO\n", "t:1:15: error: 'FOO' is no constant of x86_64"},
      {F::kMinijail, "read: arg0 == 99999999999999999999\n",
       "t:1:15: error: '99999999999999999999' is no number of 64 bits"},
      {F::kMinijail, "read: arg0 ==\n",
       "t:1:14: error: the statement ends where a value should be"},
      {F::kMinijail, "@include ./none\n",
       "t:1:10: error: cannot open ./none: No such file or directory"},
      {F::kMinijail, "@include t\n", "t:1:10: error: files include each other more than 16 deep"},
      {F::kKafel, "POLICY a { ALLOW { read } }",
       "t:1:1: error: this file defines policies and uses none: there is no 'USE name'"},
      {F::kKafel, "POLICY a { ALLOW { read { fd == count } } } USE a",
       "t:1:33: error: 'count' is an argument; a policy compares arguments with constants only"},
      {F::kKafel, "USE b DEFAULT KILL", "t:1:5: error: there is no policy 'b' above"},
      {F::kKafel, "POLICY a { ALLOW {",
       "t:1:19: error: the file ends where the name of a system call should be"},
      {F::kKafel, "/* x", "t:1:1: error: this comment is never closed"},
      {F::kSystemd, "[Service]\nExecStart=/bin/true\n",
       "t:1:1: error: this unit has no SystemCallFilter="},
      {F::kSystemd, "[Service]\nnonsense\n",
       "t:2:1: error: this line is neither a section nor a setting"},
      {F::kSystemd, "SystemCallFilter=read\nSystemCallErrorNumber=EFOO\n",
       "t:2:1: error: 'EFOO' is not an error name"},
  };
  for (const Case& c : cases) {
    ImportOptions options;
    options.format = c.format;
    Outcome outcome = Read(c.text, options, {{"t", c.text}});
    EXPECT_FALSE(outcome.imported) << c.text;
    EXPECT_EQ(FirstLine(outcome.messages), c.first_line) << c.text;
  }
}

// A name that ends its comment would be a rule of the policy.
TEST(Foreign, WordsOfTheFileCannotLeaveTheirComment) {
  Outcome outcome = Read(
      R"({"defaultAction": "SCMP_ACT_ERRNO",
          "syscalls": [{"names": ["x\nreboot\n"], "action": "SCMP_ACT_ALLOW"}]})",
      {}, {}, "a\nreboot");
  ASSERT_TRUE(outcome.imported);
  EXPECT_EQ(outcome.imported->policy.find("\nreboot"), std::string::npos)
      << outcome.imported->policy;
  EXPECT_EQ(outcome.imported->notes.front(), "no kernel has a call 'x?reboot?'; runtimes skip it");
}

TEST(Foreign, PolicyLargerThanAPolicyMayBeIsRefused) {
  std::string text = "read: arg0 == 0";
  for (int i = 1; i < 530'000; ++i) text += fmt::format("||arg0=={}", 2 * i);
  Outcome outcome = Read(text, {.format = ForeignFormat::kMinijail,
                                .arch = {},
                                .capabilities = {},
                                .kernel = {},
                                .member = {},
                                .include_directory = {}});
  EXPECT_FALSE(outcome.imported);
  EXPECT_TRUE(outcome.messages.starts_with("t:1:1: error: this cannot be said as a policy: "))
      << FirstLine(outcome.messages);
}

}  // namespace
}  // namespace callgate::format
