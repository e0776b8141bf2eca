// The filters that callgate and libseccomp make of the same profiles, side by side, and how long
// they take; below each profile the best that any tool was seen to reach, and the goal.
//
// Paths count executed instructions, over the numbers 0..460 of x86_64 with zero arguments.
// "uncached" are the numbers that the kernel does not let pass without running the filter
// (bpf/cache.h); "checked" are those of them that are allowed. Build times are CPU time: libseccomp
// from resolved rules to exported filter; callgate from policy text, from the graph that the reader
// makes of it, and from the graph with the proof that the filter says the same. "Hot first" is made
// with a profile in which the program makes nothing but the calls that are allowed by their
// arguments.
//
// usage: compile_table RULES POLICY... in pairs; a name with "3abis" is for x86_64, i386 and x32

#include <fmt/format.h>
#include <linux/audit.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <functional>
#include <string_view>

#include "abi/call.h"
#include "analyse/compare.h"
#include "bench/filters.h"
#include "bench/measure.h"
#include "bpf/cache.h"
#include "bpf/interpret.h"

namespace callgate::bench {
namespace {

constexpr std::uint32_t kNumbers = 461;

// Measured 2026-11 with the tools of that time, on these profiles and by these rules.
struct Recorded {
  std::string_view profile;
  std::string_view best;
  std::string_view goal;
};
constexpr Recorded kRecorded[] = {
    {"moby",
     "105 instructions, average 10.2 (minijail offline), uncached worst 11 (gVisor), build 0.135 "
     "ms (Kafel)",
     "72, average 9.1, uncached worst 14, hot first checked worst 11, build 0.13 "
     "ms"},
    {"moby-3abis",
     "1022 instructions, build 12.7 ms (libseccomp 1), uncached worst 23 (libseccomp 2)",
     "200, uncached worst 15, build 0.5 ms"},
    {"syssvc", "27 instructions, average 8.8 (Kafel)", "26, average 8.8"},
    {"sshlike",
     "78 instructions (libseccomp 1), average 10.0 (Kafel), uncached average 10.5 (gVisor)",
     "78, average 9.2, uncached average 10.5"},
    {"fc_vmm", "154 instructions (gVisor), average 10.1 (Kafel), uncached average 10.3 (gVisor)",
     "150, average 10"},
    {"fc_vcpu", "89 instructions (gVisor), average 10.1 (Kafel), uncached average 10.5 (gVisor)",
     "89, average 10"},
    {"fjdefault", "74 instructions, average 9.7 (Kafel)", "74, average 9.7"},
};

struct Paths {
  std::size_t count = 0;
  std::size_t sum = 0;
  std::size_t worst = 0;

  void Add(std::size_t length) {
    ++count;
    sum += length;
    worst = std::max(worst, length);
  }
  double Mean() const {
    return count == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(count);
  }
};

std::string PathFigures(const bpf::Program& program) {
  Paths all;
  Paths uncached;
  Paths checked;
  for (std::uint32_t nr = 0; nr < kNumbers; ++nr) {
    const abi::Call call{static_cast<std::int32_t>(nr), AUDIT_ARCH_X86_64, 0, {}};
    const auto trace = bpf::InterpretWithTrace(program, abi::WordsOf(call, std::endian::little));
    const std::size_t length = trace.path.size();
    all.Add(length);
    if (bpf::IsConstantAllow(program, nr, AUDIT_ARCH_X86_64)) continue;
    uncached.Add(length);
    if (trace.ret_value == abi::kAllow.value()) checked.Add(length);
  }
  return fmt::format("{:>6} {:>8.2f} {:>6} {:>9.2f} {:>9} {:>8.2f} {:>8} {:>7}", program.size(),
                     all.Mean(), all.worst, uncached.Mean(), uncached.worst, checked.Mean(),
                     checked.worst, kNumbers - uncached.count);
}

// CPU time of one run in nanoseconds, the mean of as many as take 5 ms.
double TimeOf(const std::function<void()>& run) {
  int count = 0;
  const double begin = CpuNanoseconds();
  double now = begin;
  while (now - begin < 5e6) {
    run();
    ++count;
    now = CpuNanoseconds();
  }
  return (now - begin) / count;
}

// The calls that a filter allows and the kernel does not let pass without it, each made once.
std::vector<codegen::CallCount> CheckedCalls(const bpf::Program& program) {
  std::vector<codegen::CallCount> calls;
  for (std::uint32_t nr = 0; nr < kNumbers; ++nr) {
    const abi::Call call{static_cast<std::int32_t>(nr), AUDIT_ARCH_X86_64, 0, {}};
    const auto words = abi::WordsOf(call, std::endian::little);
    const bool is_allowed = bpf::Interpret(program, words) == abi::kAllow.value();
    if (is_allowed && !bpf::IsConstantAllow(program, nr, AUDIT_ARCH_X86_64)) {
      calls.push_back({AUDIT_ARCH_X86_64, call.nr, 1});
    }
  }
  return calls;
}

bpf::Program BuildAndProve(const graph::Graph& graph) {
  graph::Graph source = graph;
  bpf::Program program = BuildByCallgate(source);
  if (analyse::CompareWithSource(source, program).equal != analyse::Answer::kHolds) {
    Die("a filter differs from its policy");
  }
  return program;
}

void PrintProfile(const std::string& rules_path, const std::string& policy_path) {
  const std::string name = std::filesystem::path(policy_path).stem().string();
  const Abis abis = name.find("3abis") != std::string::npos ? Abis::kAllThree : Abis::kX86_64;
  const RuleList rules = ReadRules(rules_path);
  const std::string text = ReadText(policy_path);
  const graph::Graph graph = GraphOfPolicy(text);
  const std::vector<codegen::CallCount> checked = CheckedCalls(BuildByCallgate(graph));
  codegen::Options hot_first;
  hot_first.profile = checked;
  struct Candidate {
    const char* name;
    std::function<bpf::Program()> build;
    Rounds times{};
  };
  std::array<Candidate, 6> candidates = {{
      {"callgate, from the text", [&] { return BuildByCallgate(GraphOfPolicy(text)); }},
      {"callgate, from the graph", [&] { return BuildByCallgate(graph); }},
      {"callgate, and proved", [&] { return BuildAndProve(graph); }},
      {"callgate, hot first", [&] { return BuildByCallgate(graph, hot_first); }},
      {"libseccomp 1", [&] { return BuildByLibseccomp(rules, abis, 1); }},
      {"libseccomp 2", [&] { return BuildByLibseccomp(rules, abis, 2); }},
  }};
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (Candidate& candidate : candidates) {
      candidate.times.push_back(TimeOf([&] { candidate.build(); }));
    }
  }
  fmt::print("{:<26} {:>6} {:>8} {:>6} {:>9} {:>9} {:>8} {:>8} {:>7}   {:<20} {}\n", name, "instr",
             "average", "worst", "uncached", "uncached", "checked", "checked", "cached",
             "build, CPU ms", "ratio to the first");
  fmt::print("{:<26} {:>6} {:>8} {:>6} {:>9} {:>9} {:>8} {:>8}\n", "", "", "", "", "average",
             "worst", "average", "worst");
  for (const Candidate& candidate : candidates) {
    Rounds milliseconds = candidate.times;
    for (double& time : milliseconds) time /= 1e6;
    fmt::print("  {:<24} {}   {:<20} {}\n", candidate.name, PathFigures(candidate.build()),
               RangeText(milliseconds, 3), RatioText(candidate.times, candidates[0].times));
  }
  for (const Recorded& recorded : kRecorded) {
    if (recorded.profile != name) continue;
    fmt::print("  recorded best: {}\n  goal: at most {}\n", recorded.best, recorded.goal);
  }
  fmt::print("\n");
}

int Main(int argc, char** argv) {
  if (argc < 3 || argc % 2 == 0) Die("usage: compile_table RULES POLICY...");
  PinToOneCpu();
  const scmp_version* version = seccomp_version();
  fmt::print("libseccomp {}.{}.{}; {} rounds, every tool in each; medians (least-greatest)\n\n",
             version->major, version->minor, version->micro, kRounds);
  for (int i = 1; i + 1 < argc; i += 2) PrintProfile(argv[i], argv[i + 1]);
  return 0;
}

}  // namespace
}  // namespace callgate::bench

int main(int argc, char** argv) { return callgate::bench::Main(argc, argv); }
