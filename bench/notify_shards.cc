// How many notified calls a second are answered: one program on each CPU, all under one filter with
// one thread that answers, or each under a filter of its own with a thread on its CPU that answers.
// Rounds of both, interleaved.
//
// usage: notify_shards [MILLISECONDS-PER-ROUND]

#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <vector>

#include "bench/measure.h"
#include "bench/notify_target.h"
#include "kernel/kernel.h"
#include "supervise/deciders.h"
#include "supervise/engine.h"

namespace callgate::bench {
namespace {

constexpr std::size_t kMaxPrograms = 64;

struct Counts {
  std::atomic<int> listener{-1};
  std::atomic<bool> go{false};
  std::array<std::atomic<std::uint64_t>, kMaxPrograms> calls{};
};

std::vector<int> CpusOfThisProcess() {
  cpu_set_t allowed;
  if (sched_getaffinity(0, sizeof allowed, &allowed) != 0) Die("cannot read the CPU affinity");
  std::vector<int> cpus;
  for (int cpu = 0; cpu < CPU_SETSIZE && cpus.size() < kMaxPrograms; ++cpu) {
    if (CPU_ISSET(cpu, &allowed)) cpus.push_back(cpu);
  }
  return cpus;
}

void PinTo(const std::vector<int>& cpus) {
  cpu_set_t set;
  CPU_ZERO(&set);
  for (int cpu : cpus) CPU_SET(cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) Die("cannot set the CPU affinity");
}

void CallOnAndOn(Counts& counts, std::size_t index, int cpu) {
  PinTo({cpu});
  while (!counts.go) usleep(100);
  while (true) {
    (void)syscall(SYS_getppid);
    ++counts.calls[index];
  }
}

// One filter, its programs and the threads that answer them.
class Shard {
 public:
  Shard(Counts& counts, std::size_t first, const std::vector<int>& cpus, int deciding_cpu)
      : engine_(kernel::RealKernel()) {
    counts.listener = -1;
    programs_.push_back(Fork([&] {
      counts.listener = NotifyCall(SYS_getppid);
      for (std::size_t i = 1; i < cpus.size(); ++i) {
        Fork([&] { CallOnAndOn(counts, first + i, cpus[i]); });
      }
      CallOnAndOn(counts, first, cpus[0]);
    }));
    while (counts.listener < 0) usleep(100);
    auto pidfd = kernel::RealKernel().OpenPidfd(programs_.front());
    auto listener =
        kernel::RealKernel().TakeDescriptor(pidfd ? pidfd->get() : -1, counts.listener.load());
    if (!listener) Die("cannot take the listener");
    listener_ = std::move(*listener);
    (void)kernel::RealKernel().WakeSynchronously(listener_.get());
    PinTo({deciding_cpu});  // the threads inherit it
    deciders_ = std::make_unique<supervise::Deciders>(
        kernel::RealKernel(), listener_.get(),
        supervise::Deciders::Callbacks{
            .decide = [this](const supervise::Turn& turn) { Decide(turn); },
            .refuse = [](const kernel::Notification&, supervise::Deciders::Refusal) {},
            .fail = [](std::string_view, int) { Die("the listener is broken"); }});
    if (!deciders_->Start()) Die("cannot start a thread");
  }
  ~Shard() {
    for (pid_t program : programs_) {
      kill(program, SIGKILL);
      waitpid(program, nullptr, 0);
    }
  }
  Shard(const Shard&) = delete;
  Shard& operator=(const Shard&) = delete;

 private:
  void Decide(const supervise::Turn& turn) {
    supervise::Outcome outcome =
        engine_.Handle(turn, [](const abi::Call&, const policy::LookFunction&) {
          return policy::PolicyAction{policy::Verb::kErrno, EPERM};
        });
    (void)kernel::RealKernel().ReplyErrno(turn.listener, turn.notification.id, outcome.errno_value);
  }

  supervise::Engine engine_;
  base::UniqueFd listener_;
  std::vector<pid_t> programs_;
  std::unique_ptr<supervise::Deciders> deciders_;
};

struct Result {
  double calls_per_second = 0;
  double fairness = 0;  // the slowest program's share of the fastest's
};

Result Measure(Counts& counts, unsigned milliseconds, std::vector<std::unique_ptr<Shard>> shards,
               std::size_t programs) {
  for (auto& count : counts.calls) count = 0;
  counts.go = true;
  const double begin = NowNanoseconds();
  usleep(milliseconds * 1000);
  const double seconds = (NowNanoseconds() - begin) / 1e9;
  std::uint64_t all = 0, least = UINT64_MAX, most = 0;
  for (std::size_t i = 0; i < programs; ++i) {
    const std::uint64_t count = counts.calls[i];
    all += count;
    least = std::min(least, count);
    most = std::max(most, count);
  }
  shards.clear();
  counts.go = false;
  return {static_cast<double>(all) / seconds,
          most == 0 ? 0 : static_cast<double>(least) / static_cast<double>(most)};
}

int Main(int argc, char** argv) {
  const auto milliseconds =
      static_cast<unsigned>(argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 300);
  void* shared =
      mmap(nullptr, sizeof(Counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) Die("cannot map memory");
  Counts& counts = *new (shared) Counts;
  const std::vector<int> cpus = CpusOfThisProcess();

  Rounds one, each;
  for (std::size_t round = 0; round < kRounds; ++round) {
    std::vector<std::unique_ptr<Shard>> shards;
    shards.push_back(std::make_unique<Shard>(counts, 0, cpus, cpus[0]));
    one.push_back(Measure(counts, milliseconds, std::move(shards), cpus.size()).calls_per_second /
                  1e3);
    shards.clear();
    for (std::size_t i = 0; i < cpus.size(); ++i) {
      shards.push_back(std::make_unique<Shard>(counts, i, std::vector{cpus[i]}, cpus[i]));
    }
    each.push_back(Measure(counts, milliseconds, std::move(shards), cpus.size()).calls_per_second /
                   1e3);
    PinTo(cpus);
  }
  fmt::print("{} CPUs, a program on each, {} rounds of {} ms\n", cpus.size(), kRounds,
             milliseconds);
  fmt::print("{:38} {:>24}\n", "", "thousand calls a second");
  fmt::print("{:38} {:>24}\n", "one listener, one thread answers", RangeText(one, 1));
  fmt::print("{:38} {:>24}   x {}\n", "a listener and a thread on each CPU", RangeText(each, 1),
             RatioText(each, one));

  constexpr std::size_t kPrograms = 64;
  std::vector<int> many;
  for (std::size_t i = 0; i < kPrograms; ++i) many.push_back(cpus[i % cpus.size()]);
  std::vector<std::unique_ptr<Shard>> shards;
  shards.push_back(std::make_unique<Shard>(counts, 0, many, cpus[0]));
  const Result fair = Measure(counts, 2000, std::move(shards), kPrograms);
  fmt::print("64 programs, one listener: the slowest made {:.0f} % of the fastest's calls\n",
             fair.fairness * 100);
  return 0;
}

}  // namespace
}  // namespace callgate::bench

int main(int argc, char** argv) { return callgate::bench::Main(argc, argv); }
