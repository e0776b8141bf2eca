// Verdicts of filters whose policy is not known. The filters' graph meets the graph of the calls
// that are meant (as in prove.cc), which gives one call for each value that they can return; each
// is run, for the way it takes.

#include <algorithm>
#include <bit>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "abi/action.h"
#include "abi/arch.h"
#include "abi/syscalls.h"
#include "analyse/product.h"
#include "api/subject.h"
#include "base/check.h"
#include "bpf/interpret.h"
#include "bpf/stack.h"
#include "callgate/analysis.h"
#include "fmt/format.h"
#include "graph/graph.h"
#include "policy/call_text.h"

namespace callgate {
namespace {

using graph::NodeId;

constexpr std::uint32_t kOutside = 0;
constexpr std::uint32_t kInside = 1;
enum Meets : std::uint8_t { kDull = 0, kDecided = 1, kOpen = 2 };

// Where a call is one of the pattern's. What is written stands for the whole register; registers of
// 32-bit ABIs have no upper halves.
NodeId MatchOf(const policy::CallPattern& pattern, graph::Pool& pool) {
  const abi::Arch& arch = abi::ArchOf(pattern.arch);
  NodeId match = pool.Leaf(kInside);
  auto require = [&](std::uint8_t word, std::uint64_t value) {
    const graph::Predicate test{word, graph::Op::kEqual, UINT32_MAX,
                                static_cast<std::uint32_t>(value)};
    match = pool.Test(test, match, pool.Leaf(kOutside));
  };
  for (int slot = 5; slot >= 0; --slot) {
    const std::uint64_t value = pattern.call.args[slot];
    if (!pattern.is_any[slot] || arch.bits == 32) {
      require(abi::ArgHighWord(slot, arch.endian), value >> 32);
    }
    if (!pattern.is_any[slot]) require(abi::ArgLowWord(slot, arch.endian), value);
  }
  require(abi::kNrWord, static_cast<std::uint32_t>(pattern.call.nr));
  require(abi::kArchWord, pattern.call.arch);
  return match;
}

bool HasEveryArgument(const policy::CallPattern& pattern) {
  const abi::Syscall* syscall = abi::FindSyscall(pattern.arch, pattern.call.nr);
  const auto signature =
      syscall == nullptr ? std::nullopt : abi::SignatureOf(pattern.arch, syscall->name);
  for (std::size_t slot = 0; slot < (signature ? signature->size() : 6); ++slot) {
    if (pattern.is_any[slot]) return false;
  }
  return true;
}

// The verdict and, of a single filter, the way to it.
std::pair<Verdict, std::vector<std::uint32_t>> Run(const Subject::Impl& subject,
                                                   const abi::CallWords& words) {
  const std::vector<bpf::ProgramView> views(subject.filters.begin(), subject.filters.end());
  const bpf::StackVerdict stack = bpf::InterpretStack(views, words);
  Verdict verdict;
  verdict.action = abi::RetValueToString(stack.ret_value);
  verdict.ret_value = stack.ret_value;
  verdict.source = VerdictSource::kFilter;
  verdict.place = subject.name;
  const bool is_stack = views.size() > 1;
  if (is_stack && !stack.filter) {
    verdict.rule = "every filter allows";
    return {std::move(verdict), std::vector<std::uint32_t>{}};
  }
  const std::size_t index = stack.filter.value_or(0);
  bpf::Trace trace = bpf::InterpretWithTrace(views[index], words);
  verdict.rule = fmt::format("instruction {}", trace.path.back());
  if (is_stack) verdict.rule += fmt::format(" of filter {}", index + 1);
  return {std::move(verdict), is_stack ? std::vector<std::uint32_t>{} : std::move(trace.path)};
}

}  // namespace

Result<Evaluation> EvaluateText(const Subject& subject, std::string_view text) {
  if (subject.impl().policy) {
    auto evaluation = subject.impl().policy->EvaluateText(text);
    if (!evaluation || !subject.is_imported()) return evaluation;
    // Lines are those of the policy as it was imported, which nobody sees.
    if (evaluation->verdict) evaluation->verdict->place = subject.name();
    for (Evaluation::Case& one : evaluation->cases) one.verdict.place = subject.name();
    return evaluation;
  }
  const abi::ArchId home = abi::NativeArch();
  const base::Result<policy::CallPattern> pattern = policy::ParseCall(text, home);
  if (!pattern) return std::unexpected(Error{pattern.error().ToString()});
  const std::endian order = abi::ArchOf(pattern->arch).endian;
  Evaluation evaluation;
  evaluation.call = policy::FormatPattern(*pattern, home);
  graph::Pool pool;
  const analyse::Lifted lifted = subject.impl().LiftInto(pool);
  auto classify = [&](std::uint32_t value, std::uint32_t where) -> std::uint8_t {
    if (where == kOutside) return kDull;
    return lifted.IsUndecided(value) ? kOpen : kDecided;
  };
  const analyse::Product product =
      analyse::Multiply(pool, lifted.root, MatchOf(*pattern, pool), classify, false);
  std::map<std::int64_t, abi::CallWords> by_value;  // most permissive first
  for (const analyse::Meeting& meeting : product.meetings) {
    if (meeting.kind == kOpen) {
      evaluation.undecided = lifted.ReasonOf(meeting.a_value).reason;
      continue;
    }
    const abi::CallWords words = product.WitnessIn(meeting.region);
    CG_CHECK(subject.impl().Run(words) == meeting.a_value);
    const std::int64_t strictness = -std::int64_t{static_cast<std::int32_t>(meeting.a_value)};
    by_value.try_emplace(strictness, words);
  }
  const bool is_whole =
      product.is_complete && product.meetings.size() < analyse::ProductLimits().max_meetings;
  if (!is_whole && evaluation.undecided.empty()) {
    evaluation.undecided = "the filter has more ways through it than the limit on work allows";
  }
  // A call whose every argument is given is one call, whatever the filter computes.
  if (!evaluation.undecided.empty() && HasEveryArgument(*pattern)) {
    evaluation.undecided.clear();
    by_value = {{0, abi::WordsOf(pattern->call, order)}};
  }
  const bool is_one = by_value.size() == 1 && evaluation.undecided.empty();
  for (const auto& [strictness, words] : by_value) {
    auto [verdict, path] = Run(subject.impl(), words);
    if (is_one) {
      evaluation.verdict = std::move(verdict);
      evaluation.path = std::move(path);
    } else {
      evaluation.cases.push_back(
          {policy::FormatWitness(abi::CallOf(words, order), home), std::move(verdict)});
    }
  }
  return evaluation;
}

}  // namespace callgate
