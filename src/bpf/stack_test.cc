#include "bpf/stack.h"

#include <vector>

#include "bpf/cost.h"
#include "bpf/opcodes.h"
#include "gtest/gtest.h"

namespace callgate::bpf {
namespace {

StackVerdict Decide(const std::vector<std::uint32_t>& oldest_first) {
  std::vector<Program> programs;
  for (std::uint32_t value : oldest_first) programs.push_back({{0x06, 0, 0, value}});
  const std::vector<ProgramView> views(programs.begin(), programs.end());
  return InterpretStack(views, {});
}

TEST(Stack, LowestActionWinsWhereverItStands) {
  EXPECT_EQ(Decide({0x00050001, 0x7fff0000}), (StackVerdict{0x00050001, 0}));
  EXPECT_EQ(Decide({0x7fff0000, 0x00050001}), (StackVerdict{0x00050001, 1}));
  EXPECT_EQ(Decide({0x00000000, 0x80000000}), (StackVerdict{0x80000000, 1}));
  EXPECT_EQ(Decide({0x7fc00000, 0x7ff00000, 0x7ffc0000}), (StackVerdict{0x7fc00000, 0}));
}

TEST(Stack, NewestDataCountsOnATieAndDataIsNeverCompared) {
  EXPECT_EQ(Decide({0x00050001, 0x00050002}), (StackVerdict{0x00050002, 1}));
  EXPECT_EQ(Decide({0x00050001, 0x00050000}), (StackVerdict{0x00050000, 1}));
  EXPECT_EQ(Decide({0x00050001, 0x00050003, 0x00050002}), (StackVerdict{0x00050002, 2}));
}

TEST(Stack, UnknownActionsRankByTheirNumber) {
  EXPECT_EQ(Decide({0x12340000, 0x00050001}), (StackVerdict{0x00050001, 1}));
  EXPECT_EQ(Decide({0x12340000, 0x7fff0000}), (StackVerdict{0x12340000, 0}));
  EXPECT_EQ(Decide({0xffff0000, 0x00000000}), (StackVerdict{0xffff0000, 0}));
}

TEST(Stack, AllAllowingIsAllowWithoutData) {
  EXPECT_EQ(Decide({0x7fff0005}), (StackVerdict{0x7fff0000, std::nullopt}));
  EXPECT_EQ(Decide({0x7fff0005, 0x7fff0006}), (StackVerdict{0x7fff0000, std::nullopt}));
}

TEST(Cost, ConvertedSizesByInstruction) {
  struct Case {
    Instruction instruction;
    std::size_t expected;
  };
  const Case cases[] = {
      {{0x20, 0, 0, 0}, 1},          {{0x06, 0, 0, 0}, 2},          {{0x16, 0, 0, 0}, 1},
      {{0x34, 0, 0, 1}, 1},          {{0x3c, 0, 0, 0}, 5},          {{0x05, 0, 0, 0}, 1},
      {{0x15, 0, 0, 1}, 1},          {{0x15, 1, 0, 1}, 1},          {{0x15, 0, 1, 1}, 1},
      {{0x15, 1, 1, 1}, 2},          {{0x45, 0, 1, 1}, 2},          {{0x4d, 0, 1, 0}, 2},
      {{0x15, 1, 1, 0x80000000}, 3}, {{0x15, 1, 0, 0xc000003e}, 2}, {{0x1d, 1, 1, 0x80000000}, 2},
  };
  for (const Case& c : cases) {
    const Program program(1, c.instruction);
    EXPECT_EQ(ConvertedSize(program), 3 + c.expected)
        << c.instruction.code << " " << int{c.instruction.jt} << " " << int{c.instruction.jf};
  }
}

}  // namespace
}  // namespace callgate::bpf
