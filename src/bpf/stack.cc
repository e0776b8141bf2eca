#include "bpf/stack.h"

#include "abi/action.h"
#include "base/check.h"
#include "bpf/interpret.h"

namespace callgate::bpf {
// SECCOMP_RET_ACTION_FULL: the action bits.
std::int32_t Precedence(std::uint32_t ret_value) {
  return static_cast<std::int32_t>(ret_value & 0xffff0000U);
}

StackVerdict InterpretStack(std::span<const ProgramView> filters, const abi::CallWords& words) {
  CG_CHECK(!filters.empty());
  StackVerdict verdict{abi::kAllow.value(), std::nullopt};
  for (std::size_t i = filters.size(); i-- > 0;) {
    const std::uint32_t ret_value = Interpret(filters[i], words);
    if (Precedence(ret_value) < Precedence(verdict.ret_value)) verdict = {ret_value, i};
  }
  return verdict;
}

}  // namespace callgate::bpf
