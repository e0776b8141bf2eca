#include "supervise/perform.h"

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "gtest/gtest.h"
#include "policy/performed.h"

namespace callgate::supervise {
namespace {

// A performer for each call the policy language promises, and no promise without one.
TEST(Performers, AreThoseThePolicyPromises) {
  for (const policy::PerformedCall& call : policy::PerformedCalls()) {
    EXPECT_NE(PerformerOf(call.name), nullptr) << call.name;
  }
  EXPECT_EQ(PerformerOf("reboot"), nullptr);
}

TEST(Performers, AreFoundByNumberOnEveryAbi) {
  for (const abi::Arch& arch : abi::AllArches()) {
    for (const abi::Syscall& call : abi::SyscallsOf(arch.id)) {
      const bool is_performed =
          PerformerOf(abi::Call{.nr = call.nr, .arch = arch.audit_arch}) != nullptr;
      const bool is_promised =
          policy::PerformanceOf(arch.id, call.name) != policy::Performance::kNone;
      EXPECT_EQ(is_performed, is_promised) << arch.name << " " << call.name;
    }
  }
  EXPECT_EQ(PerformerOf(abi::Call{.nr = -1, .arch = 0xc000003e}), nullptr);
  EXPECT_EQ(PerformerOf(abi::Call{.nr = 257, .arch = 1}), nullptr);
}

}  // namespace
}  // namespace callgate::supervise
