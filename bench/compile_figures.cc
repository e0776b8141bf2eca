// How good are the filters of some policies, and how long does it take to make them?
//
// usage: compile_figures POLICY...   a line of figures a policy, read by compile_figures.py
//        compile_figures --growth    the time for 10, 100, 1,000 and 10,000 rules
//
// Paths are counted in instructions that run, over the numbers 0..460 of x86_64 with zero
// arguments. "uncached" are the numbers that the kernel's search for constant allows (bpf/cache.h)
// does not find; "checked" are those of them that such a call is allowed for. A second line has the
// figures with a profile in which the checked calls are all that the program makes. Times are the
// least of many runs of one thread, from graph to program.

#include <fmt/format.h>
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "abi/syscalls.h"
#include "base/diagnostic.h"
#include "base/source.h"
#include "bpf/cache.h"
#include "bpf/interpret.h"
#include "codegen/compile.h"
#include "policy/file_reader.h"
#include "policy/lower.h"
#include "policy/typecheck.h"

namespace callgate {
namespace {

constexpr std::uint32_t kNumbers = 461;
const std::uint32_t kArch = abi::ArchOf(abi::ArchId::kX86_64).audit_arch;

double BestMicroseconds(const graph::Graph& graph, const codegen::Options& options, int runs) {
  double best = 1e12;
  for (int run = 0; run < runs; ++run) {
    const auto begin = std::chrono::steady_clock::now();
    const auto program = codegen::Compile(graph, options);
    const std::chrono::duration<double, std::micro> time = std::chrono::steady_clock::now() - begin;
    best = std::min(best, time.count());
  }
  return best;
}

struct Paths {
  std::size_t count = 0;
  std::size_t sum = 0;
  std::size_t worst = 0;

  void Add(std::size_t length) {
    ++count;
    sum += length;
    worst = std::max(worst, length);
  }
  std::string Text() const {
    const double mean = count == 0 ? 0 : static_cast<double>(sum) / static_cast<double>(count);
    return fmt::format("{:.2f} {}", mean, worst);
  }
};

// Prints a line; returns the numbers of checked calls. Empty: an error was printed.
std::optional<std::vector<std::int32_t>> PrintLine(const char* path, const graph::Graph& graph,
                                                   const codegen::Options& options) {
  const auto program = codegen::Compile(graph, options);
  if (!program) {
    fmt::print(stderr, "{}: {}\n", path, program.error().ToString());
    return std::nullopt;
  }
  Paths all;
  Paths uncached;
  Paths checked;
  std::vector<std::int32_t> checked_numbers;
  for (std::uint32_t nr = 0; nr < kNumbers; ++nr) {
    abi::Call call;
    call.nr = static_cast<std::int32_t>(nr);
    call.arch = kArch;
    const auto trace = bpf::InterpretWithTrace(*program, abi::WordsOf(call, std::endian::little));
    all.Add(trace.path.size());
    if (bpf::IsConstantAllow(*program, nr, kArch)) continue;
    uncached.Add(trace.path.size());
    if (trace.ret_value != abi::kAllow.value()) continue;
    checked.Add(trace.path.size());
    checked_numbers.push_back(call.nr);
  }
  fmt::print("{} {} {} {} {} {} {:.1f}\n", path, program->size(), all.Text(), uncached.Text(),
             checked.Text(), kNumbers - uncached.count, BestMicroseconds(graph, options, 301));
  return checked_numbers;
}

std::optional<policy::TypedPolicy> Read(const char* path, std::string text) {
  base::SourceMap sources;
  base::Diagnostics diagnostics;
  constexpr auto kNative = abi::ArchId::kX86_64;
  auto policy = text.empty()
                    ? policy::ReadPolicy(path, policy::DiskReader(), kNative, sources, diagnostics)
                    : policy::ReadPolicyText(path, std::move(text), policy::DiskReader(), kNative,
                                             sources, diagnostics);
  if (!policy) fmt::print(stderr, "{}", base::Render(diagnostics, sources, base::Color::kNo));
  return policy;
}

bool PrintFigures(const char* path) {
  const auto policy = Read(path, "");
  if (!policy) return false;
  const graph::Graph graph = policy::Lower(*policy);
  const auto checked = PrintLine(path, graph, {});
  if (!checked) return false;
  std::vector<codegen::CallCount> profile;
  for (const std::int32_t nr : *checked) profile.push_back({kArch, nr, 1});
  codegen::Options options;
  options.profile = profile;
  return PrintLine(path, graph, options).has_value();
}

// So many rules, spread over the calls of x86_64: `read: arg0 == 5 -> errno(7); …`.
std::string PolicyOfSize(std::size_t rules) {
  const std::span<const abi::Syscall> calls = abi::SyscallsOf(abi::ArchId::kX86_64);
  const std::size_t used = std::min(rules, calls.size() - 60);
  std::string text = "default: errno(EPERM)\n";
  for (std::size_t i = 0; i < used; ++i) {
    text += fmt::format("{}: ", calls[i].name);
    for (std::size_t clause = i; clause < rules; clause += used) {
      text += fmt::format("{}arg1 as u32 == {} -> errno({})", clause == i ? "" : "; ",
                          7 * clause + 1, clause % 4'000);
    }
    text += '\n';
  }
  return text;
}

bool PrintGrowth() {
  fmt::print("{:>8} {:>13} {:>9} {:>12} {:>11}\n", "rules", "instructions", "ms", "µs a rule",
             "peak MB");
  for (const std::size_t rules : {10, 100, 1'000, 10'000}) {
    const auto policy = Read("growth", PolicyOfSize(rules));
    if (!policy) return false;
    const graph::Graph graph = policy::Lower(*policy);
    const auto program = codegen::Compile(graph);
    const double time = BestMicroseconds(graph, {}, rules > 1'000 ? 5 : 21);
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    fmt::print("{:>8} {:>13} {:>9.2f} {:>12.2f} {:>11.1f}\n", rules,
               program ? fmt::format("{}", program->size()) : "over 4096", time / 1'000,
               time / static_cast<double>(rules), static_cast<double>(usage.ru_maxrss) / 1'024);
  }
  return true;
}

}  // namespace
}  // namespace callgate

int main(int argc, char** argv) {
  if (argc == 2 && std::string_view(argv[1]) == "--growth") return callgate::PrintGrowth() ? 0 : 2;
  bool ok = argc > 1;
  for (int i = 1; i < argc; ++i) ok = callgate::PrintFigures(argv[i]) && ok;
  return ok ? 0 : 2;
}
