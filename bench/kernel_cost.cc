// What filters cost a running program: nanoseconds a call (cached by the kernel, allowed by a look
// at an argument, denied), the time to install, and fork and exec under stacks.
//
// Each candidate of a round runs in a child of its own, which measures, installs its filters,
// measures again, and leaves the numbers in shared memory. So what a filter costs "over native" is
// taken within one process and some milliseconds: the machine changes its pace more slowly than
// that. "floor" is the least a filter that really runs can be: a
// load that the kernel does not follow, and an allow.
//
// The stack: layer 0 is the policy given; each further layer denies a call of its own and one value
// of personality's argument, which layer 0 denies too. So every layer must look at the argument,
// and the one filter that decides as all of them need not look more often than layer 0.
//
// A filter stays installed in a bystander all the while, as on any machine with a service manager:
// without it the first filter pays for the kernel's first page of compiled code.
//
// usage: kernel_cost RULES POLICY    of Docker's profile; a name with "3abis" is for three ABIs

#include <fmt/format.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <new>
#include <numeric>
#include <string>
#include <vector>

#include "bench/filters.h"
#include "bench/measure.h"
#include "bpf/opcodes.h"
#include "graph/combine.h"

namespace callgate::bench {
namespace {

using Stack = std::vector<bpf::Program>;

enum Figure : std::uint8_t { kCached, kAllowed, kDenied, kInstall, kSpawn, kFigures };
constexpr const char* kFigureNames[] = {"cached call, ns", "argument-checked call, ns",
                                        "denied call, ns", "install, us", "spawn /bin/true, us"};

using Figures = std::array<double, kFigures>;

struct Candidate {
  std::string name;
  Stack stack;
  std::array<Rounds, kFigures> figures{};  // under the filters
  std::array<Rounds, kFigures> over{};     // less what it was without
};

// Nanoseconds of one call, the least of a few batches: a batch that was interrupted says nothing.
double TimeOfCall(long nr, long argument) {
  constexpr int kCalls = 2'000;
  double least = 1e12;
  for (int batch = 0; batch < 12; ++batch) {
    const double begin = NowNanoseconds();
    for (int i = 0; i < kCalls; ++i) syscall(nr, argument, 0L, 0L);
    least = std::min(least, (NowNanoseconds() - begin) / kCalls);
  }
  return least;
}

double TimeOfSpawn() {
  constexpr int kSpawns = 20;
  char path[] = "/bin/true";
  char* const argv[] = {path, nullptr};
  double least = 1e12;
  for (int i = 0; i < kSpawns; ++i) {
    const double begin = NowNanoseconds();
    pid_t child = 0;
    int status = 0;
    if (posix_spawn(&child, path, nullptr, nullptr, argv, environ) != 0 ||
        waitpid(child, &status, 0) != child || status != 0) {
      return -1;
    }
    least = std::min(least, NowNanoseconds() - begin);
  }
  return least / 1e3;
}

// In the child. Microseconds the kernel took for all filters, or -1.
double Install(const Stack& stack) {
  if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return -1;
  const double begin = NowNanoseconds();
  for (const bpf::Program& program : stack) {
    const sock_fprog filter{
        static_cast<unsigned short>(program.size()),
        reinterpret_cast<sock_filter*>(const_cast<bpf::Instruction*>(program.data()))};
    if (syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &filter) != 0) return -1;
  }
  return (NowNanoseconds() - begin) / 1e3;
}

// A process that sits under a filter until this one ends.
void StartBystander(const bpf::Program& program) {
  const pid_t child = fork();
  if (child < 0) Die("cannot fork");
  if (child != 0) return;
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (Install(Stack{program}) < 0) _exit(1);
  while (true) pause();
}

struct Board {
  Figures native;
  Figures filtered;
};

void Fill(Figures& figures) {
  figures[kCached] = TimeOfCall(SYS_getppid, 0);
  figures[kAllowed] = TimeOfCall(SYS_personality, 0xffffffff);
  figures[kDenied] = TimeOfCall(SYS_acct, 0);
  figures[kSpawn] = TimeOfSpawn();
}

void MeasureOnce(Candidate& candidate, Board& board) {
  board.native.fill(0);
  board.filtered.fill(-1);
  const pid_t child = fork();
  if (child < 0) Die("cannot fork");
  if (child == 0) {
    Fill(board.native);
    const double install = Install(candidate.stack);
    Fill(board.filtered);
    board.filtered[kInstall] = install;
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  for (std::size_t i = 0; i < kFigures; ++i) {
    if (board.filtered[i] < 0) Die(fmt::format("{}: {} failed", candidate.name, kFigureNames[i]));
    candidate.figures[i].push_back(board.filtered[i]);
    candidate.over[i].push_back(board.filtered[i] - board.native[i]);
  }
}

void Measure(std::vector<Candidate>& candidates) {
  void* memory =
      mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) Die("no shared memory");
  auto& board = *new (memory) Board{};
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (Candidate& candidate : candidates) MeasureOnce(candidate, board);
  }
}

void Print(const std::vector<Candidate>& candidates) {
  for (std::size_t i = 0; i < kFigures; ++i) {
    fmt::print("{:<26} {:<26} {}\n", kFigureNames[i], "median (least-greatest)",
               i == kInstall ? "" : "over native");
    for (const Candidate& candidate : candidates) {
      if (i == kInstall && candidate.stack.empty()) continue;
      fmt::print("  {:<24} {:<26} {}\n", candidate.name, RangeText(candidate.figures[i], 1),
                 i == kInstall ? "" : RangeText(candidate.over[i], 1));
    }
    fmt::print("\n");
  }
}

std::vector<graph::Graph> Layers(const std::string& text, std::size_t count) {
  // Calls that Docker's profile allows, with a number on each ABI: each layer takes one away.
  constexpr const char* kCalls[] = {"msgget",  "msgsnd",    "msgrcv",    "msgctl",        "semget",
                                    "semctl",  "shmget",    "shmat",     "shmdt",         "shmctl",
                                    "mq_open", "mq_unlink", "mq_notify", "mq_getsetattr", "kcmp"};
  const std::string arches = text.substr(0, text.find('\n'));  // "arch: x86_64, i386, x32"
  std::vector<graph::Graph> layers;
  layers.push_back(GraphOfPolicy(text));
  while (layers.size() < count) {
    const std::size_t i = layers.size();
    layers.push_back(GraphOfPolicy(
        fmt::format("{}\ndefault: allow\nunknown: allow\npersonality: persona == {} -> "
                    "errno(EPERM); else -> allow\n"
                    "{}: else -> errno(EPERM)\n",
                    arches, 0x1000 + i, kCalls[i - 1])));
  }
  return layers;
}

Stack CompileAll(const std::vector<graph::Graph>& layers) {
  Stack stack;
  for (const graph::Graph& layer : layers) stack.push_back(BuildByCallgate(layer));
  return stack;
}

int Main(const std::string& rules_path, const std::string& policy_path) {
  PinToOneCpu();
  const Abis abis =
      policy_path.find("3abis") != std::string::npos ? Abis::kAllThree : Abis::kX86_64;
  const RuleList rules = ReadRules(rules_path);
  const std::string text = ReadText(policy_path);
  const bpf::Program floor = {
      {static_cast<std::uint16_t>(bpf::Opcode::kLdAbs), 0, 0, 16},
      {static_cast<std::uint16_t>(bpf::Opcode::kRetK), 0, 0, SECCOMP_RET_ALLOW}};

  StartBystander(floor);
  fmt::print("{} rounds, every candidate in each\n\nOne filter\n\n", kRounds);
  std::vector<Candidate> filters = {
      {"no filter", {}},
      {"floor", {floor}},
      {"callgate", {BuildByCallgate(GraphOfPolicy(text))}},
      {"libseccomp 1", {BuildByLibseccomp(rules, abis, 1)}},
      {"libseccomp 2", {BuildByLibseccomp(rules, abis, 2)}},
  };
  Measure(filters);
  Print(filters);
  for (std::size_t i : {2U, 3U, 4U}) {
    fmt::print("argument-checked over native, {} / floor: {}\n", filters[i].name,
               RatioText(filters[i].over[kAllowed], filters[1].over[kAllowed]));
  }
  for (std::size_t i : {2U, 3U}) {
    fmt::print("install, {} / libseccomp 2: {}\n", filters[i].name,
               RatioText(filters[i].figures[kInstall], filters[4].figures[kInstall]));
  }

  fmt::print("\nStacks\n\n");
  const std::vector<graph::Graph> layers = Layers(text, 16);
  graph::Graph fused_graph = layers[0];
  for (std::size_t i = 1; i < layers.size(); ++i) {
    fused_graph = graph::StrictestOf(fused_graph, layers[i]);
  }
  std::vector<Candidate> stacks = {{"no filter", {}}};
  const Stack sixteen = CompileAll(layers);
  for (std::size_t depth : {1U, 4U, 16U}) {
    stacks.push_back(
        {fmt::format("stack of {}", depth),
         Stack(sixteen.begin(), sixteen.begin() + static_cast<std::ptrdiff_t>(depth))});
  }
  stacks.push_back({"the 16 fused", {BuildByCallgate(fused_graph)}});
  fmt::print("instructions: one filter {}, the 16 {}, fused {}\n\n", sixteen[0].size(),
             std::accumulate(sixteen.begin(), sixteen.end(), std::size_t{0},
                             [](std::size_t sum, const bpf::Program& p) { return sum + p.size(); }),
             stacks.back().stack[0].size());
  Measure(stacks);
  Print(stacks);
  const Rounds& one = stacks[1].over[kAllowed];
  fmt::print("argument-checked over native: fused / one filter {}, stack of 16 / one filter {}\n",
             RatioText(stacks[4].over[kAllowed], one), RatioText(stacks[3].over[kAllowed], one));
  return 0;
}

}  // namespace
}  // namespace callgate::bench

int main(int argc, char** argv) {
  if (argc != 3) callgate::bench::Die("usage: kernel_cost RULES POLICY");
  return callgate::bench::Main(argv[1], argv[2]);
}
