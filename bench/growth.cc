// Time and memory of the way from policy text to filter, as the policy grows: 10 to 10,000 rules.
//
// A rule compares one argument of one of up to 300 calls with a constant. Eight neighbouring
// constants are one range, so that even 10,000 rules make a filter that the kernel takes, and each
// call has its own, so that little can be shared. libseccomp is given the same rules, at level 2,
// as far as it stays within a second.
//
// usage: growth

#include <fmt/format.h>
#include <linux/seccomp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <string>
#include <utility>
#include <vector>

#include "abi/syscalls.h"
#include "bench/filters.h"
#include "bench/measure.h"

namespace callgate::bench {
namespace {

struct Profile {
  std::string policy;
  RuleList rules;
};

// Constant number i of the rules of a call: runs of eight, the first of them elsewhere for each.
std::uint64_t ConstantOf(std::size_t call, std::size_t i) {
  return 37 * call + 100 * (i / 8) + i % 8;
}

Profile MakeProfile(std::size_t count) {
  const auto calls = abi::SyscallsOf(abi::ArchId::kX86_64);
  const std::size_t used = std::min<std::size_t>(std::max<std::size_t>(count / 20, 1), 300);
  Profile profile{"arch: x86_64\ndefault: errno(EPERM)\nunknown: errno(EPERM)\n",
                  {SCMP_ACT_ERRNO(1), {}}};
  for (std::size_t call = 0; call < used; ++call) {
    const std::string name(calls[call].name);
    std::string alternatives;
    for (std::size_t i = call; i < count; i += used) {
      const std::uint64_t constant = ConstantOf(call, i / used);
      alternatives +=
          fmt::format("{}arg1 as u64 == {}", alternatives.empty() ? "" : " || ", constant);
      profile.rules.rules.push_back({name, SCMP_ACT_ALLOW, {{1, SCMP_CMP_EQ, constant, 0}}});
    }
    profile.policy += fmt::format("{}: {}\n", name, alternatives);
  }
  return profile;
}

// Peak memory of a child that does `work`, in KiB.
template <typename Work>
long PeakOf(Work work) {
  const pid_t child = fork();
  if (child < 0) Die("cannot fork");
  if (child == 0) {
    work();
    _exit(0);
  }
  int status = 0;
  rusage usage{};
  if (wait4(child, &status, 0, &usage) != child || status != 0) Die("a measured child failed");
  return usage.ru_maxrss;
}

// As many rounds as elsewhere, or as fit into some seconds.
template <typename Work>
double MedianTime(Work work) {
  constexpr double kBudget = 3e9;
  const double start = CpuNanoseconds();
  Rounds times;
  while (times.size() < kRounds && CpuNanoseconds() - start < kBudget) {
    const double begin = CpuNanoseconds();
    work();
    times.push_back((CpuNanoseconds() - begin) / 1e6);
  }
  return Median(times);
}

void Main() {
  PinToOneCpu();
  fmt::print("{:>7} {:>7} {:>13} {:>12} {:>13} {:>12} {:>14}\n", "rules", "instr", "text, CPU ms",
             "us a rule", "graph, CPU ms", "memory, MiB", "libseccomp, ms");
  const long idle = PeakOf([] {});
  for (std::size_t count : {10U, 100U, 1'000U, 10'000U}) {
    const Profile profile = MakeProfile(count);
    const graph::Graph graph = GraphOfPolicy(profile.policy);
    const bpf::Program program = BuildByCallgate(graph);
    const double text = MedianTime([&] { BuildByCallgate(GraphOfPolicy(profile.policy)); });
    const double from_graph = MedianTime([&] { BuildByCallgate(graph); });
    const long peak = PeakOf([&] { BuildByCallgate(GraphOfPolicy(profile.policy)); });
    // 1,000 rules take it 0.1 s, 10,000 more than a minute.
    const bool is_in_time = count <= 1'000;
    double peer = 0;
    if (is_in_time) {
      const double begin = CpuNanoseconds();
      BuildByLibseccomp(profile.rules, Abis::kX86_64, 2);
      peer = (CpuNanoseconds() - begin) / 1e6;
    }
    fmt::print("{:>7} {:>7} {:>13.3f} {:>12.2f} {:>13.3f} {:>12.1f} {:>14}\n", count,
               program.size(), text, 1e3 * text / static_cast<double>(count), from_graph,
               static_cast<double>(peak - idle) / 1024,
               is_in_time ? fmt::format("{:.1f}", peer) : "-");
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace callgate::bench

int main() {
  callgate::bench::Main();
  return 0;
}
