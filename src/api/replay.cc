#include "analyse/replay.h"

#include <string>
#include <vector>

#include "abi/action.h"
#include "api/impl.h"
#include "api/subject.h"
#include "bpf/stack.h"
#include "callgate/analysis.h"
#include "fmt/format.h"
#include "policy/call_text.h"

namespace callgate {
namespace {

// What the kernel makes of a stack's filters, one after the other; the strictest is the stack's.
base::Result<std::vector<analyse::Replay>> ReplayStack(const Subject& subject,
                                                       const std::vector<abi::Call>& calls) {
  std::vector<analyse::Replay> strictest(calls.size(), {abi::kAllow.value(), ""});
  const std::vector<bpf::Program>& filters = subject.impl().filters;
  for (std::size_t i = filters.size(); i-- > 0;) {
    const auto replays = analyse::ReplayOnKernel(kernel::RealKernel(), filters[i], calls);
    if (!replays) return std::unexpected(replays.error());
    for (std::size_t call = 0; call < calls.size(); ++call) {
      analyse::Replay& all = strictest[call];
      const analyse::Replay& one = (*replays)[call];
      if (!all.value) continue;
      if (!one.value || bpf::Precedence(*one.value) < bpf::Precedence(*all.value)) all = one;
    }
  }
  return strictest;
}

// What became of each call: `live` of Difference. An error is a contradiction.
Result<std::vector<std::string>> Replay(const Subject& subject, const std::vector<Call>& calls) {
  std::vector<abi::Call> internal;
  for (const Call& call : calls) internal.push_back(ToInternal(call));
  const auto replays = ReplayStack(subject, internal);
  if (!replays) return std::unexpected(Error{replays.error().ToString()});
  std::vector<std::string> live;
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const analyse::Replay& replay = (*replays)[i];
    if (!replay.value) {
      live.push_back("not tried on the kernel: " + replay.reason);
      continue;
    }
    const std::uint32_t expected =
        subject.impl().Run(abi::WordsOf(internal[i], std::endian::native));
    if (*replay.value != expected) {
      return std::unexpected(Error{
          fmt::format("internal error: for {} of {} the kernel says {}, and the interpreter {}",
                      policy::FormatCall(internal[i], abi::NativeArch()), subject.name(),
                      abi::RetValueToString(*replay.value), abi::RetValueToString(expected))});
    }
    live.emplace_back("the kernel agrees");
  }
  return live;
}

}  // namespace

Result<void> ReplayOnKernel(const Subject& a, const Subject& b, Comparison& comparison) {
  std::vector<Call> calls;
  for (const Difference& difference : comparison.differences) calls.push_back(difference.witness);
  const auto a_live = Replay(a, calls);
  if (!a_live) return std::unexpected(a_live.error());
  const auto b_live = Replay(b, calls);
  if (!b_live) return std::unexpected(b_live.error());
  for (std::size_t i = 0; i < calls.size(); ++i) {
    const bool a_agrees = (*a_live)[i] == "the kernel agrees";
    comparison.differences[i].live = a_agrees ? (*b_live)[i] : (*a_live)[i];
  }
  return {};
}

Result<void> ReplayOnKernel(const Subject& subject, Proof& proof) {
  if (proof.answer != Answer::kFails) return {};
  auto live = Replay(subject, {proof.witness});
  if (!live) return std::unexpected(live.error());
  proof.live = std::move(live->front());
  return {};
}

}  // namespace callgate
