// What it costs to ask about a filter, on those that libseccomp makes of a profile, the largest
// that are in wide use: how long the interpreter judges a call, what it takes to read the filter as
// a graph, to make a policy of it, to compare it with callgate's own compile of that policy (which
// must be equal), to look for mistakes, and to explain a call that it decides and a record of a
// call that it denied. CPU time, medians of rounds; explanations are of the filter's bytes, as
// `callgate explain -p FILTER` has them. The last line is the most memory that all of it took.
//
// usage: analysis_table RULES...

#include <fmt/format.h>
#include <linux/audit.h>
#include <sys/resource.h>

#include <array>
#include <bit>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "abi/call.h"
#include "analyse/compare.h"
#include "analyse/decompile.h"
#include "analyse/lift.h"
#include "bench/filters.h"
#include "bench/measure.h"
#include "bpf/encode.h"
#include "bpf/interpret.h"
#include "callgate/analysis.h"
#include "lint/lint.h"

namespace callgate::bench {
namespace {

// Milliseconds of CPU, the median of rounds.
double Cost(const std::function<void()>& work) {
  Rounds rounds;
  for (std::size_t i = 0; i < kRounds; ++i) {
    const double begin = CpuNanoseconds();
    work();
    rounds.push_back((CpuNanoseconds() - begin) / 1e6);
  }
  return Median(rounds);
}

struct Judging {
  double ns_a_call = 0;
  double ns_a_step = 0;
};

// The numbers 0..460 of x86_64 with zero arguments.
Judging CostOfJudging(const bpf::Program& program) {
  std::vector<abi::CallWords> calls;
  std::size_t steps = 0;
  for (std::int32_t nr = 0; nr < 461; ++nr) {
    const abi::Call call{nr, AUDIT_ARCH_X86_64, 0, {}};
    calls.push_back(abi::WordsOf(call, std::endian::little));
    steps += bpf::InterpretWithTrace(program, calls.back()).path.size();
  }
  std::uint32_t sum = 0;
  constexpr int kRepeats = 100;
  const double ms = Cost([&] {
    for (int i = 0; i < kRepeats; ++i) {
      for (const abi::CallWords& call : calls) sum += bpf::Interpret(program, call);
    }
  });
  if (sum == 1) Die("the interpreter was optimised away");
  const double all = ms * 1e6 / kRepeats;
  return {all / static_cast<double>(calls.size()), all / static_cast<double>(steps)};
}

Subject SubjectOf(const std::string& name, const bpf::Program& filter) {
  auto subject = Subject::FromBytes(name, bpf::EncodeRaw(filter, std::endian::native));
  if (!subject) Die(name + ": it is not read as a filter");
  return *std::move(subject);
}

void ExplainCall(const std::string& name, const bpf::Program& filter) {
  const Subject subject = SubjectOf(name, filter);
  const auto evaluation = EvaluateText(subject, "openat(AT_FDCWD, *, O_RDONLY)");
  if (!evaluation) Die(name + ": " + evaluation.error().message);
}

// A record tells no arguments: all that a policy says of the call's name is looked at.
void ExplainRecord(const std::string& name, const bpf::Program& filter) {
  const auto text = Decompile(SubjectOf(name, filter));
  if (!text) Die(name + ": " + text.error().message);
  const auto policy = Policy::FromText(name, text->text);
  if (!policy) Die(name + ": its policy is not read");
  const auto evaluation = policy->EvaluateText("clone(*, *, *, *, *)");
  if (!evaluation) Die(name + ": " + evaluation.error().message);
}

void MeasureFilter(const std::string& name, Abis abis, std::uint32_t level,
                   const bpf::Program& filter) {
  const Judging judging = CostOfJudging(filter);
  const double lift = Cost([&] {
    graph::Pool pool;
    (void)analyse::Lift(filter, pool);
  });
  std::string policy;
  const double decompile = Cost([&] {
    graph::Pool pool;
    const analyse::Lifted lifted = analyse::Lift(filter, pool);
    const auto text = analyse::Decompile(pool, lifted, analyse::ClauseOrder::kMostPermissiveFirst,
                                         analyse::Wording::kLists);
    if (!text) Die(name + ": " + text.error().ToString());
    policy = *text;
  });
  const bpf::Program own = BuildByCallgate(GraphOfPolicy(policy));
  analyse::Answer equal = analyse::Answer::kUndecided;
  const double diff = Cost([&] { equal = analyse::ComparePrograms(filter, own).equal; });
  const double lint = Cost([&] { (void)lint::Lint({.filters = {filter}, .text = {}}); });
  const double call = Cost([&] { ExplainCall(name, filter); });
  const double record = Cost([&] { ExplainRecord(name, filter); });
  fmt::print(
      "{:<10} {:>4} {:>5} {:>12} {:>8.0f} {:>7.2f} {:>7.2f} {:>9.2f} {:>5} {:>5} {:>7.2f} "
      "{:>7.2f} {:>7.2f} {:>7.2f}\n",
      name, abis == Abis::kAllThree ? 3 : 1, level, filter.size(), judging.ns_a_call,
      judging.ns_a_step, lift, decompile, own.size(),
      equal == analyse::Answer::kHolds ? "yes" : "NO", diff, lint, call, record);
}

int Main(int argc, char** argv) {
  if (argc < 2) Die("usage: analysis_table RULES...");
  PinToOneCpu();
  fmt::print(
      "{:<10} {:>4} {:>5} {:>12} {:>8} {:>7} {:>7} {:>9} {:>5} {:>5} {:>7} {:>7} {:>7} {:>7}\n",
      "profile", "ABIs", "level", "instructions", "ns/call", "ns/step", "lift ms", "decompile",
      "ours", "equal", "diff ms", "lint ms", "call ms", "rec. ms");
  for (int i = 1; i < argc; ++i) {
    const RuleList rules = ReadRules(argv[i]);
    const std::string name = std::filesystem::path(argv[i]).stem().string();
    for (const Abis abis : {Abis::kX86_64, Abis::kAllThree}) {
      for (const std::uint32_t level : {1U, 2U}) {
        MeasureFilter(name, abis, level, BuildByLibseccomp(rules, abis, level));
      }
    }
  }
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  fmt::print("peak memory: {:.1f} MiB\n", static_cast<double>(usage.ru_maxrss) / 1024);
  return 0;
}

}  // namespace
}  // namespace callgate::bench

int main(int argc, char** argv) { return callgate::bench::Main(argc, argv); }
