// Each testdata/NAME.cg is a policy with mistakes of one kind, NAME.txt the whole text callgate
// says about it. A changed message is a changed line there, seen in review.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include "base/diagnostic.h"
#include "base/source.h"
#include "gtest/gtest.h"
#include "policy/typecheck.h"

namespace callgate::policy {
namespace {

const std::filesystem::path kTestdata =
    std::filesystem::path(CALLGATE_SOURCE_DIR) / "src" / "policy" / "testdata";

std::string ReadFile(const std::filesystem::path& path) {
  std::ifstream in(path);
  EXPECT_TRUE(in.good()) << path;
  std::stringstream text;
  text << in.rdbuf();
  return text.str();
}

std::vector<std::string> Names() {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(kTestdata)) {
    if (entry.path().extension() == ".cg") names.push_back(entry.path().stem().string());
  }
  std::ranges::sort(names);
  return names;
}

class Golden : public testing::TestWithParam<std::string> {};

TEST_P(Golden, IsToldAllThatIsWrong) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  MemoryReader nothing({});
  auto policy = ReadPolicyText("t.cg", ReadFile(kTestdata / (GetParam() + ".cg")), nothing,
                               abi::ArchId::kX86_64, sources, diagnostics);
  EXPECT_EQ(base::Render(diagnostics, sources, base::Color::kNo),
            ReadFile(kTestdata / (GetParam() + ".txt")));
  EXPECT_EQ(policy.has_value(), !diagnostics.HasErrors());
}

INSTANTIATE_TEST_SUITE_P(Policies, Golden, testing::ValuesIn(Names()),
                         [](const auto& test) { return test.param; });

TEST(GoldenFiles, AreAllThere) { EXPECT_GE(Names().size(), 22U); }

}  // namespace
}  // namespace callgate::policy
