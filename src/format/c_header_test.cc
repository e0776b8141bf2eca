#include "format/c_header.h"

#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <string>

#include "bpf/encode.h"
#include "gtest/gtest.h"

namespace callgate::format {
namespace {

const bpf::Program kProgram = {
    {0x20, 0, 0, 4}, {0x15, 1, 0, 0xc000003e}, {0x06, 0, 0, 0x80000000}, {0x06, 0, 0, 0x7fff0000}};

TEST(CHeader, IsReproducibleText) {
  EXPECT_EQ(
      EncodeCHeader(kProgram, "my_filter"),
      "/* A seccomp filter, written by callgate. Load it with seccomp(2) as struct sock_fprog\n"
      "   {MY_FILTER_LENGTH, (struct sock_filter *)my_filter}. */\n"
      "#ifndef MY_FILTER_H\n"
      "#define MY_FILTER_H\n"
      "\n"
      "#include <linux/filter.h>\n"
      "\n"
      "#define MY_FILTER_LENGTH 4\n"
      "\n"
      "static const struct sock_filter my_filter[MY_FILTER_LENGTH] = {\n"
      "    {0x0020, 0, 0, 0x00000004u},\n"
      "    {0x0015, 1, 0, 0xc000003eu},\n"
      "    {0x0006, 0, 0, 0x80000000u},\n"
      "    {0x0006, 0, 0, 0x7fff0000u}\n"
      "};\n"
      "\n"
      "#endif\n");
}

TEST(CHeader, KnowsIdentifiers) {
  for (const char* name : {"a", "_x9", "FILTER", "callgate_filter"})
    EXPECT_TRUE(IsCIdentifier(name));
  for (const char* name : {"", "9a", "a-b", "a b", "int", "class", "a\n", "é"}) {
    EXPECT_FALSE(IsCIdentifier(name)) << name;
  }
}

// Runs a command; its output, or the way it failed.
std::string Output(const std::string& command) {
  std::string output;
  FILE* pipe = popen((command + " 2>&1").c_str(), "r");
  if (pipe == nullptr) return "popen failed";
  char buffer[4096];
  for (std::size_t n = 0; (n = fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
    output.append(buffer, n);
  const int status = pclose(pipe);
  return status == 0 ? output : "failed: " + output;
}

// The strictest compilers take it, and the array in memory is the program.
TEST(CHeader, CompilesAsC89AndCppIntoTheSameBytes) {
  char directory[] = "/tmp/callgate_c_header_XXXXXX";
  ASSERT_NE(mkdtemp(directory), nullptr);
  const std::string base = directory;
  std::ofstream(base + "/filter.h") << EncodeCHeader(kProgram, "filter");
  for (const char* name : {"/use.c", "/use.cc"}) {
    std::ofstream(base + name)
        << "#include \"filter.h\"\n#include \"filter.h\"\n#include <stdio.h>\n"
           "int main(void) { return fwrite(filter, sizeof filter[0], "
           "FILTER_LENGTH, stdout) != FILTER_LENGTH; }\n";
  }
  const std::string strict = " -Wall -Wextra -Werror -pedantic-errors -o " + base;
  const std::string expected = bpf::EncodeRaw(kProgram, std::endian::native);
  EXPECT_EQ(
      Output(CALLGATE_C_COMPILER " -std=c89" + strict + "/c " + base + "/use.c && " + base + "/c"),
      expected);
  EXPECT_EQ(Output(CALLGATE_CXX_COMPILER " -std=c++98" + strict + "/cc " + base + "/use.cc && " +
                   base + "/cc"),
            expected);
  EXPECT_EQ(Output("rm -r " + base), "");
}

}  // namespace
}  // namespace callgate::format
