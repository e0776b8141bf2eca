// A statement about the calls of a pattern is a second graph, which says where the pattern matches;
// the product of the two graphs (analyse/product.h) then shows every action that a matching call
// can get.

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "abi/action.h"
#include "abi/arch.h"
#include "abi/syscalls.h"
#include "analyse/compare.h"
#include "analyse/product.h"
#include "api/subject.h"
#include "base/check.h"
#include "callgate/analysis.h"
#include "fmt/format.h"
#include "policy/call_text.h"

namespace callgate {
namespace {

using graph::NodeId;

constexpr std::uint32_t kOutside = 0;  // values of the pattern's graph
constexpr std::uint32_t kInside = 1;

enum Meets : std::uint8_t { kDull = 0, kContradicts = 1, kDelegates = 2, kOpen = 3 };

// Bits of a register that the kernel reads as this argument.
std::uint64_t MaskOf(const abi::Arch& arch, const abi::Signature& signature, std::size_t slot) {
  const unsigned known = slot < signature.size() ? signature[slot].bits : 64;
  const unsigned bits = std::min<unsigned>(known, arch.bits);
  return UINT64_MAX >> (64 - bits);
}

NodeId MatchOf(const policy::CallPattern& pattern, graph::Pool& pool) {
  const abi::Arch& arch = abi::ArchOf(pattern.arch);
  const abi::Syscall* syscall = abi::FindSyscall(pattern.arch, pattern.call.nr);
  const abi::Signature signature =
      syscall == nullptr ? abi::Signature{}
                         : abi::SignatureOf(pattern.arch, syscall->name).value_or(abi::Signature{});
  const NodeId outside = pool.Leaf(kOutside);
  NodeId match = pool.Leaf(kInside);
  auto require = [&](std::uint8_t word, std::uint64_t mask, std::uint64_t value) {
    const auto low_mask = static_cast<std::uint32_t>(mask);
    match =
        pool.Test({word, graph::Op::kEqual, low_mask, static_cast<std::uint32_t>(value) & low_mask},
                  match, outside);
  };
  for (int slot = 5; slot >= 0; --slot) {
    if (pattern.is_any[slot]) continue;
    const std::uint64_t mask = MaskOf(arch, signature, slot);
    require(abi::ArgHighWord(slot, arch.endian), mask >> 32, pattern.call.args[slot] >> 32);
    require(abi::ArgLowWord(slot, arch.endian), mask, pattern.call.args[slot]);
  }
  require(abi::kNrWord, UINT32_MAX, static_cast<std::uint32_t>(pattern.call.nr));
  require(abi::kArchWord, UINT32_MAX, pattern.call.arch);
  return match;
}

bool Allows(abi::Action action) {
  return action.kind == abi::ActionKind::kAllow || action.kind == abi::ActionKind::kLog;
}

// The filter leaves it to somebody who may allow the call.
bool Delegates(abi::Action action) {
  return action.kind == abi::ActionKind::kTrace || action.kind == abi::ActionKind::kUserNotif;
}

Result<Proof> Prove(const Subject& subject, std::string_view text, bool expect_allowed) {
  const base::Result<policy::CallPattern> pattern = policy::ParseCall(text, abi::NativeArch());
  if (!pattern) return std::unexpected(Error{pattern.error().ToString()});
  graph::Pool pool;
  const analyse::Lifted lifted = subject.impl().LiftInto(pool);
  const NodeId match = MatchOf(*pattern, pool);
  auto classify = [&](std::uint32_t value, std::uint32_t where) -> std::uint8_t {
    if (where == kOutside) return kDull;
    if (lifted.IsUndecided(value)) return kOpen;
    const abi::Action action = abi::ActionFromValue(value).value_or(abi::kKillProcess);
    if (Delegates(action)) return kDelegates;
    return Allows(action) == expect_allowed ? kDull : kContradicts;
  };
  const analyse::Product product =
      analyse::Multiply(pool, lifted.root, match, classify, false, {.max_meetings = 1});
  Proof proof;
  proof.answer = Answer::kHolds;
  proof.statement = policy::FormatPattern(*pattern, abi::NativeArch());
  if (!product.is_complete) {
    proof.answer = Answer::kUndecided;
    proof.undecided = "the filter has more ways through it than the limit on work allows";
  }
  for (const analyse::Meeting& meeting : product.meetings) {
    if (meeting.kind != kContradicts && proof.answer == Answer::kFails) continue;
    const abi::CallWords words = product.WitnessIn(meeting.region);
    const abi::Call call = abi::CallOf(words, abi::ArchOf(pattern->arch).endian);
    if (meeting.kind == kOpen) {
      proof.answer = Answer::kUndecided;
      proof.undecided = lifted.ReasonOf(meeting.a_value).reason;
      continue;
    }
    const std::uint32_t value = subject.impl().Run(words);
    CG_CHECK(analyse::EffectOf(value) == analyse::EffectOf(meeting.a_value));
    if (meeting.kind == kDelegates) {
      proof.answer = Answer::kUndecided;
      proof.undecided =
          fmt::format("for {} the filter says {}, and who answers that decides",
                      policy::FormatCall(call, abi::NativeArch()), abi::RetValueToString(value));
      continue;
    }
    proof.answer = Answer::kFails;
    proof.witness = {call.nr, call.arch, call.ip, {}};
    std::ranges::copy(call.args, std::begin(proof.witness.args));
    proof.witness_text = policy::FormatCall(call, abi::NativeArch());
    proof.action = abi::RetValueToString(value);
  }
  return proof;
}

}  // namespace

Result<Proof> ProveNever(const Subject& subject, std::string_view call) {
  return Prove(subject, call, false);
}

Result<Proof> ProveAlways(const Subject& subject, std::string_view call) {
  return Prove(subject, call, true);
}

}  // namespace callgate
