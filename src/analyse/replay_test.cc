#include "analyse/replay.h"

#include <linux/audit.h>
#include <sys/syscall.h>

#include <string>
#include <vector>

#include "abi/arch.h"
#include "bpf/assemble.h"
#include "gtest/gtest.h"

namespace callgate::analyse {
namespace {

using bpf::Instruction;

// Kills for kill(2) but for signal 0, allows all else.
const bpf::Program kNoKill = {
    {0x20, 0, 0, 0}, {0x15, 0, 3, SYS_kill},   {0x20, 0, 0, 24},
    {0x15, 1, 0, 0}, {0x06, 0, 0, 0x80000000}, {0x06, 0, 0, 0x7fff0000},
};

abi::Call NativeCall(int nr, std::uint64_t first = 0, std::uint64_t second = 0) {
  return {nr, abi::ArchOf(abi::NativeArch()).audit_arch, 0, {first, second, 0, 0, 0, 0}};
}

TEST(ReplayOnKernel, VerdictsAreTheKernelsAndNoCallIsMade) {
  // The second would end this test and its group; the third would be allowed and fail.
  const abi::Call calls[] = {NativeCall(SYS_kill, 0, 0), NativeCall(SYS_kill, 0, 9),
                             NativeCall(SYS_exit_group, 1), NativeCall(-1)};
  const auto replays = ReplayOnKernel(kernel::RealKernel(), kNoKill, calls);
  ASSERT_TRUE(replays.has_value()) << replays.error().ToString();
  std::vector<std::uint32_t> values;
  for (const Replay& replay : *replays) values.push_back(replay.value.value_or(1));
  EXPECT_EQ(values, (std::vector<std::uint32_t>{0x7fff0000, 0x80000000, 0x7fff0000, 0x7fff0000}));
}

TEST(ReplayOnKernel, WhatCannotBeTriedSaysWhy) {
  const abi::Call foreign[] = {{1, AUDIT_ARCH_S390X, 0, {}}};
  const auto of_foreign = ReplayOnKernel(kernel::RealKernel(), kNoKill, foreign);
  ASSERT_TRUE(of_foreign.has_value());
  EXPECT_EQ(of_foreign->front().value, std::nullopt);
  EXPECT_EQ(of_foreign->front().reason,
            "the call is not one of " + std::string(abi::ArchOf(abi::NativeArch()).name));
  const abi::Call call[] = {NativeCall(SYS_getpid)};
  const bpf::Program computes = {{0x20, 0, 0, 0}, {0x16, 0, 0, 0}};
  EXPECT_EQ(ReplayOnKernel(kernel::RealKernel(), computes, call)->front().reason,
            "the filter returns what it computes");
  const bpf::Program asks_where = {{0x20, 0, 0, 8}, {0x06, 0, 0, 0x7fff0000}};
  EXPECT_EQ(ReplayOnKernel(kernel::RealKernel(), asks_where, call)->front().reason,
            "the filter asks where the call comes from");
}

TEST(ReplayOnKernel, FilterThatTheKernelRefusesIsAnError) {
  const bpf::Program no_end = {{0x20, 0, 0, 0}};
  const abi::Call call[] = {NativeCall(SYS_getpid)};
  const auto replays = ReplayOnKernel(kernel::RealKernel(), no_end, call);
  ASSERT_FALSE(replays.has_value());
  EXPECT_EQ(replays.error().ToString(),
            "cannot install the filter in a child to try calls in: Invalid argument");
}

}  // namespace
}  // namespace callgate::analyse
