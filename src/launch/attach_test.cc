#include "launch/attach.h"

#include <linux/seccomp.h>

#include <cerrno>
#include <csignal>
#include <cstring>

#include "gtest/gtest.h"
#include "testing/fake_kernel.h"

namespace callgate::launch {
namespace {

using testing::FakeKernel;

constexpr pid_t kProgram = FakeKernel::kProgram;
constexpr pid_t kHelper = FakeKernel::kHelper;

bpf::Program Returning(std::uint32_t value) { return {{0x06, 0, 0, value}}; }

struct Outcome {
  Attachment attachment;
  std::string message;  // of the failure; empty: none
};
Outcome Attach(FakeKernel& kernel, const FilterStack& stack, std::uint32_t options = 0) {
  Outcome outcome;
  outcome.attachment =
      AttachFilters(kernel, kProgram, stack, options,
                    [&](const base::Error& error) { outcome.message = error.ToString(); });
  return outcome;
}
const FilterStack kPlain{.filters = {Returning(SECCOMP_RET_ALLOW)}, .listening = std::nullopt};
const FilterStack kListening{.filters = {Returning(SECCOMP_RET_USER_NOTIF)}, .listening = 0};

void ExpectUntouched(const FakeKernel& kernel) {
  EXPECT_EQ(kernel.code_word, FakeKernel::kCodeWord);
  EXPECT_EQ(kernel.signal_mask, FakeKernel::kMask);
  for (const auto& [address, byte] : kernel.memory) {
    EXPECT_EQ(byte, std::byte{0}) << "left behind at " << std::hex << address;
  }
}

TEST(Attach, WithoutAListenerOneCallIsInjectedAndNothingIsLeftBehind) {
  FakeKernel kernel;
  Outcome outcome = Attach(kernel, kPlain, kernel::kTraceExit);
  EXPECT_EQ(outcome.attachment.outcome, Attached::kYes) << outcome.message;
  EXPECT_FALSE(outcome.attachment.listener.valid());
  EXPECT_EQ(kernel.calls, (std::vector<std::pair<pid_t, std::uint32_t>>{{kProgram, 317}}));
  EXPECT_EQ(kernel.filter_flags, std::vector<std::uint32_t>{0});
  ASSERT_EQ(kernel.installed.size(), 8u);
  EXPECT_EQ(std::memcmp(kernel.installed.data(), kPlain.filters[0].data(), 8), 0);
  EXPECT_EQ(kernel.trace_options, kernel::kTraceExit);
  ExpectUntouched(kernel);
  auto registers = kernel.GetRegisters(kProgram);
  EXPECT_EQ(std::memcmp(&*registers, &kernel.registers, sizeof *registers), 0);
}

TEST(Attach, TheListenerIsClosedByAThreadWithoutFilterThatThenExits) {
  FakeKernel kernel;
  Outcome outcome = Attach(kernel, kListening);
  EXPECT_EQ(outcome.attachment.outcome, Attached::kYes) << outcome.message;
  EXPECT_TRUE(outcome.attachment.listener.valid());
  EXPECT_EQ(kernel.calls, (std::vector<std::pair<pid_t, std::uint32_t>>{
                              {kProgram, 56}, {kProgram, 317}, {kHelper, 3}, {kHelper, 60}}));
  EXPECT_EQ(kernel.filter_flags, std::vector<std::uint32_t>{SECCOMP_FILTER_FLAG_NEW_LISTENER |
                                                            kernel::kFlagWaitKillableRecv});
  EXPECT_FALSE(kernel.helper_alive);
  ExpectUntouched(kernel);
}

TEST(Attach, A32BitProgramIsAskedInItsOwnNumbersAndLayout) {
  FakeKernel kernel;
  kernel.is_32bit = true;
  kernel.registers.cs = 0x23;
  Outcome outcome = Attach(kernel, kListening);
  EXPECT_EQ(outcome.attachment.outcome, Attached::kYes) << outcome.message;
  EXPECT_EQ(kernel.calls, (std::vector<std::pair<pid_t, std::uint32_t>>{
                              {kProgram, 120}, {kProgram, 354}, {kHelper, 6}, {kHelper, 1}}));
  ASSERT_EQ(kernel.installed.size(), 8u);
  ExpectUntouched(kernel);
}

TEST(Attach, LayersGoOnOldestFirst) {
  FakeKernel kernel;
  FilterStack stack{.filters = {Returning(1), Returning(2)}, .listening = 1};
  Outcome outcome = Attach(kernel, stack);
  EXPECT_EQ(outcome.attachment.outcome, Attached::kYes) << outcome.message;
  ASSERT_EQ(kernel.filter_flags.size(), 2u);
  EXPECT_EQ(kernel.filter_flags[0], 0u);
  EXPECT_NE(kernel.filter_flags[1] & SECCOMP_FILTER_FLAG_NEW_LISTENER, 0u);
  EXPECT_EQ(std::memcmp(kernel.installed.data(), stack.filters[1].data(), 8), 0);
}

TEST(Attach, OlderKernelsAreAskedAgainWithoutWaitKillable) {
  FakeKernel kernel;
  auto play = kernel.on_call;
  int asked = 0;
  kernel.on_call = [&](std::uint32_t nr) -> std::optional<std::int64_t> {
    if (nr == 317 && asked++ == 0) return -EINVAL;
    return play(nr);
  };
  Outcome outcome = Attach(kernel, kListening);
  EXPECT_EQ(outcome.attachment.outcome, Attached::kYes) << outcome.message;
  EXPECT_EQ(kernel.filter_flags, (std::vector<std::uint32_t>{SECCOMP_FILTER_FLAG_NEW_LISTENER |
                                                                 kernel::kFlagWaitKillableRecv,
                                                             SECCOMP_FILTER_FLAG_NEW_LISTENER}));
}

// A failure before the program's first instruction ends it with 125, by a call of the thread that
// has no filter, and says why.
TEST(Attach, WhatTheKernelRefusesIsExplainedAndTheProgramExits) {
  struct Case {
    std::uint32_t nr;
    int error;
    const char* message;
  };
  constexpr std::array kCases = {
      Case{317, EBUSY,
           "cannot install the filter (1 instructions): Device or resource busy (something around "
           "callgate already listens to this program's calls); use --no-supervisor: the kernel "
           "enforces alone then"},
      Case{317, ENOMEM,
           "cannot install the filter (1 instructions): Cannot allocate memory (the filters of one "
           "thread may hold 32768 instructions together); combine the layers into one policy"},
      Case{317, EMFILE,
           "cannot install the filter (1 instructions): Too many open files (the program starts "
           "with all its descriptors in use); raise the limit (ulimit -n) by one, or use "
           "--no-supervisor"},
      Case{317, EINVAL,
           "cannot install the filter (1 instructions): Invalid argument (the kernel does not "
           "accept this program); 'callgate doctor' shows what it supports"},
      Case{317, EPERM,
           "cannot install the filter (1 instructions): Operation not permitted (a filter around "
           "callgate refuses seccomp()); allow seccomp() there; nothing can be enforced without "
           "it"},
      Case{56, EAGAIN,
           "cannot hand over the listener: Resource temporarily unavailable (no further thread is "
           "allowed here); raise the process limit (ulimit -u, pids.max) by one"},
      Case{56, EPERM,
           "cannot hand over the listener: Operation not permitted (a filter around callgate "
           "refuses clone); use --no-supervisor: nothing is handed over then"},
      Case{3, EPERM, "cannot close the program's copy of the listener: Operation not permitted"}};
  for (const Case& test : kCases) {
    FakeKernel kernel;
    auto play = kernel.on_call;
    kernel.on_call = [&](std::uint32_t nr) -> std::optional<std::int64_t> {
      if (nr == test.nr) return -test.error;
      return play(nr);
    };
    Outcome outcome = Attach(kernel, kListening);
    EXPECT_EQ(outcome.message, test.message);
    EXPECT_EQ(outcome.attachment.outcome, Attached::kExits) << test.message;
    ASSERT_FALSE(kernel.calls.empty());
    pid_t speaker = test.nr == 56 ? kProgram : kHelper;
    EXPECT_EQ(kernel.calls.back(), (std::pair<pid_t, std::uint32_t>{speaker, 231}));
  }
}

TEST(Attach, ASecondLayerThatTheFirstRefusesIsExplained) {
  FakeKernel kernel;
  auto play = kernel.on_call;
  int asked = 0;
  kernel.on_call = [&](std::uint32_t nr) -> std::optional<std::int64_t> {
    if (nr == 317 && asked++ == 1) return -EPERM;
    return play(nr);
  };
  Outcome outcome =
      Attach(kernel, FilterStack{.filters = {Returning(1), Returning(2)}, .listening = {}});
  EXPECT_EQ(outcome.message,
            "cannot install the filter (1 instructions): Operation not permitted (an older layer "
            "refuses seccomp(), so that no further one can be added); combine the layers into one "
            "policy");
  // Its own thread has a filter, which may refuse exit_group: it must not run on.
  EXPECT_EQ(outcome.attachment.outcome, Attached::kMustBeKilled);
}

TEST(Attach, ADescriptorThatCannotBeTakenEndsTheProgram) {
  FakeKernel kernel;
  kernel.take_descriptor_error = EPERM;
  Outcome outcome = Attach(kernel, kListening);
  EXPECT_EQ(
      outcome.message,
      "cannot take the listener: Operation not permitted (pidfd_getfd needs Linux 5.6 and the "
      "right to trace the program); use --no-supervisor: the kernel enforces alone then");
  EXPECT_EQ(outcome.attachment.outcome, Attached::kExits);
}

TEST(Attach, AProgramThatCannotBeReadIsKilledBeforeItRuns) {
  FakeKernel kernel;
  kernel.peek_error = EIO;
  Outcome outcome = Attach(kernel, kPlain);
  EXPECT_EQ(outcome.message,
            "cannot reach into the program's memory: Input/output error (its file may be executed "
            "but not read); make the file readable, or run callgate as root");
  EXPECT_EQ(outcome.attachment.outcome, Attached::kMustBeKilled);
  EXPECT_TRUE(kernel.calls.empty());
}

TEST(Attach, AStackTooSmallForTheFilterIsExplained) {
  FakeKernel kernel;
  kernel.write_memory_error = EFAULT;
  Outcome outcome = Attach(kernel, kPlain);
  EXPECT_EQ(outcome.message,
            "cannot write the filter into the program: Bad address (its stack is too small); raise "
            "the limit (ulimit -s) to 256");
  EXPECT_EQ(outcome.attachment.outcome, Attached::kExits);
}

// SIGSTOP cannot be blocked. The program is stopped for everybody, and asked at the end whether it
// still is; only the borrowed calls go on.
TEST(Attach, AStopThatArrivesMeanwhileIsDeliveredAndLookedAtAfterwards) {
  for (pid_t thread : {kProgram, kHelper}) {
    FakeKernel kernel;
    kernel.stopped_thread = thread;
    Outcome outcome = Attach(kernel, kListening);
    EXPECT_EQ(outcome.attachment.outcome, Attached::kYes) << outcome.message;
    EXPECT_EQ(kernel.stops_delivered, std::vector<pid_t>{thread});
    EXPECT_EQ(kernel.interrupted, std::vector<pid_t>{kProgram});
  }
  FakeKernel undisturbed;
  EXPECT_EQ(Attach(undisturbed, kListening).attachment.outcome, Attached::kYes);
  EXPECT_TRUE(undisturbed.interrupted.empty());
}

TEST(Attach, ACloneThatAPendingStopInterruptsIsTriedAgain) {
  FakeKernel kernel;
  auto play = kernel.on_call;
  int asked = 0;
  kernel.on_call = [&](std::uint32_t nr) -> std::optional<std::int64_t> {
    if (nr == 56 && asked++ == 0) return -513;  // ERESTARTNOINTR
    return play(nr);
  };
  Outcome outcome = Attach(kernel, kListening);
  EXPECT_EQ(outcome.attachment.outcome, Attached::kYes) << outcome.message;
  EXPECT_EQ(asked, 2);
}

TEST(Attach, AProgramKilledMeanwhileIsNotAnError) {
  for (std::uint32_t nr : {56u, 317u, 3u}) {
    FakeKernel kernel;
    auto play = kernel.on_call;
    kernel.on_call = [&](std::uint32_t asked) -> std::optional<std::int64_t> {
      return asked == nr ? std::nullopt : play(asked);
    };
    Outcome outcome = Attach(kernel, kListening);
    EXPECT_EQ(outcome.message, "");
    EXPECT_EQ(outcome.attachment.outcome, Attached::kGone);
  }
}

}  // namespace
}  // namespace callgate::launch
