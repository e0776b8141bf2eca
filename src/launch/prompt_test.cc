#include "launch/prompt.h"

#include "gtest/gtest.h"

namespace callgate::launch {
namespace {

TEST(IsInForeground, GroupOfTheTerminalIs) {
  constexpr unsigned kDevice = 34816;
  struct Row {
    const char* stat;
    bool is;
  };
  constexpr Row kRows[] = {
      {"71 (vi) S 1 71 70 34816 71 4194304", true},
      {"72 (a) b) S 1 71 70 34816 71 4194304", true},
      {"71 (vi) S 1 71 70 34817 71 4194304", false},  // another terminal
      {"71 (vi) S 1 71 70 34816 80 4194304", false},  // another job
      {"71 (vi) S 1 71 70 0 -1 4194304", false},      // none
      {"71 (1 71 70 34816 71) S 1 0 0 0 0", false},   // a name that looks like it
      {"71 (vi) S 1 71", false},
      {"", false},
  };
  for (const Row& row : kRows) EXPECT_EQ(IsInForeground(row.stat, kDevice), row.is) << row.stat;
}

}  // namespace
}  // namespace callgate::launch
