#include "api/claim.h"

#include <algorithm>

#include "abi/arch.h"
#include "abi/syscalls.h"
#include "fmt/format.h"

namespace callgate {
namespace {

// Bits of a register that the kernel reads as this argument.
std::uint64_t MaskOf(const abi::Arch& arch, const abi::Signature& signature, std::size_t slot) {
  const unsigned known = slot < signature.size() ? signature[slot].bits : 64;
  const unsigned bits = std::min<unsigned>(known, arch.bits);
  return UINT64_MAX >> (64 - bits);
}

}  // namespace

std::vector<graph::Predicate> TestsOf(const policy::CallPattern& pattern) {
  const abi::Arch& arch = abi::ArchOf(pattern.arch);
  const abi::Syscall* syscall = abi::FindSyscall(pattern.arch, pattern.call.nr);
  const abi::Signature signature =
      syscall == nullptr ? abi::Signature{}
                         : abi::SignatureOf(pattern.arch, syscall->name).value_or(abi::Signature{});
  std::vector<graph::Predicate> tests;
  auto require = [&](std::uint8_t word, std::uint64_t mask, std::uint64_t value) {
    const auto low_mask = static_cast<std::uint32_t>(mask);
    tests.push_back(
        {word, graph::Op::kEqual, low_mask, static_cast<std::uint32_t>(value) & low_mask});
  };
  require(abi::kArchWord, UINT32_MAX, pattern.call.arch);
  require(abi::kNrWord, UINT32_MAX, static_cast<std::uint32_t>(pattern.call.nr));
  for (int slot = 0; slot < 6; ++slot) {
    if (pattern.is_any[slot]) continue;
    const std::uint64_t mask = MaskOf(arch, signature, slot);
    require(abi::ArgLowWord(slot, arch.endian), mask, pattern.call.args[slot]);
    require(abi::ArgHighWord(slot, arch.endian), mask >> 32, pattern.call.args[slot] >> 32);
  }
  return tests;
}

bool Allows(abi::Action action) {
  return action.kind == abi::ActionKind::kAllow || action.kind == abi::ActionKind::kLog;
}

bool Delegates(abi::Action action) {
  return action.kind == abi::ActionKind::kTrace || action.kind == abi::ActionKind::kUserNotif;
}

void Refute(Proof& proof, const abi::Call& call, std::uint32_t ret_value) {
  proof.answer = Answer::kFails;
  proof.witness = {call.nr, call.arch, call.ip, {}};
  std::ranges::copy(call.args, std::begin(proof.witness.args));
  proof.witness_text = policy::FormatWitness(call, abi::NativeArch());
  proof.action = abi::RetValueToString(ret_value);
}

void Delegate(Proof& proof, const abi::Call& call, std::uint32_t ret_value) {
  proof.answer = Answer::kUndecided;
  proof.is_delegated = true;
  proof.undecided =
      fmt::format("for {} the filter says {}, and who answers that decides",
                  policy::FormatCall(call, abi::NativeArch()), abi::RetValueToString(ret_value));
}

}  // namespace callgate
