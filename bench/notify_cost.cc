// What a call costs that somebody else decides: nanoseconds seen by the calling process, one call
// at a time, everything on one CPU. The unit beside them is a futex ping-pong between two
// processes: two switches, which no way of asking another process can do without.
//
// "bare" rows do by hand the least the kernel asks for, so they show what is the kernel's; the rows
// of callgate run the supervisor's own threads and engine. Each round measures every row once, in a
// process of its own.
//
// A descriptor is put into the caller's table first and the call answered then, which takes two
// switches more than ADDFD|SEND; why that is not safe stands at RealKernel::ReplyDescriptor. The
// rows "|SEND" show what it would save. "looks": by hand too, with the system calls that it takes
// to decide about the path and the one who asks.
//
// usage: notify_cost [CALLS-PER-ROUND [ROW...]]

#include <fmt/format.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "bench/measure.h"
#include "bench/notify_by_hand.h"
#include "bench/notify_target.h"
#include "kernel/kernel.h"
#include "supervise/deciders.h"
#include "supervise/engine.h"

namespace callgate::bench {
namespace {

using policy::PolicyAction;
using policy::Verb;

void Supervise(
    Bench& bench, std::uint32_t nr, const std::function<bool()>& call,
    const supervise::DecideFunction& decide, supervise::Fixed fixed = {},
    const std::function<void()>& begin = [] {}) {
  Notifier target = StartNotifier(bench, nr, call, begin);
  // As `callgate run` has it: two threads beside the one that looks after processes.
  supervise::Engine engine(kernel::RealKernel(), fixed);
  supervise::Deciders::Callbacks callbacks{
      .decide =
          [&](const supervise::Turn& turn) {
            supervise::Outcome outcome = engine.Handle(turn, decide);
            if (outcome.kind != supervise::Outcome::Kind::kAnswered) {
              (void)kernel::RealKernel().ReplyErrno(turn.listener, turn.notification.id,
                                                    outcome.errno_value);
            }
          },
      .refuse = [&](const kernel::Notification&,
                    supervise::Deciders::Refusal) { bench.board.failed = true; },
      .fail = [](std::string_view, int) { Die("the listener is broken"); }};
  supervise::Deciders deciders(kernel::RealKernel(), target.listener.get(), std::move(callbacks));
  if (!deciders.Start()) Die("cannot start a thread");
  Reap(target.pid);
  engine.EndHelpers();
}

void Verdict(Bench& bench) {
  Supervise(
      bench, SYS_getppid, [] { return syscall(SYS_getppid) < 0 && errno == EPERM; },
      [](const abi::Call&, const policy::LookFunction&) {
        return PolicyAction{Verb::kErrno, EPERM};
      });
}

void ReadThen(Bench& bench, PolicyAction action) {
  Supervise(
      bench, SYS_memfd_create,
      [] { return syscall(SYS_memfd_create, "a name that is looked at", 0) < 0 && errno == EPERM; },
      [&](const abi::Call&, const policy::LookFunction& look) {
        if (!look) return PolicyAction{Verb::kLook, 0};
        auto name = look({.kind = policy::DeepSubject::Kind::kString, .slot = 0});
        const auto* text = std::get_if<std::string>(&name);
        return text != nullptr && text->size() == 24 ? action : PolicyAction{Verb::kErrno, EIO};
      });
}
// Denied: who is reported must be known before, so ID_VALID is asked.
void ReadAndDeny(Bench& bench) { ReadThen(bench, {Verb::kErrno, EPERM}); }
// Answered: whether the caller still waits is what the answer finds out.
void ReadAndAnswer(Bench& bench) { ReadThen(bench, {Verb::kReturn, -EPERM}); }

void OpenUnder(Bench& bench, supervise::Fixed fixed, const std::function<void()>& begin = [] {}) {
  Supervise(
      bench, SYS_openat, [path = bench.file] { return OpenAndClose(path); },
      [&](const abi::Call&, const policy::LookFunction& look) {
        if (!look) return PolicyAction{Verb::kLook, 0};
        auto path = look({.kind = policy::DeepSubject::Kind::kPath, .slot = 1});
        const auto* text = std::get_if<std::string>(&path);
        bool is_allowed = text != nullptr && *text == bench.file;
        return is_allowed ? PolicyAction{Verb::kAllow, 0} : PolicyAction{Verb::kErrno, EACCES};
      },
      fixed, begin);
}
// As `callgate run` has it: what changes a caller's identity is refused, or told of.
void Open(Bench& bench) { OpenUnder(bench, {.is_told = true}); }
// A policy that has such calls logged or traced, so that nothing can be remembered.
void OpenByAnybody(Bench& bench) { OpenUnder(bench, {}); }
// A caller in a user namespace of its own: a process that stands there opens the file.
void OpenByHelper(Bench& bench) {
  OpenUnder(bench, {.names = true, .is_told = true}, [] {
    if (unshare(CLONE_NEWUSER) != 0) Die("cannot make a user namespace");
  });
}

struct Row {
  const char* name;
  void (*run)(Bench& bench);
  Rounds median = {}, tail = {};
};

int Main(int argc, char** argv) {
  PinToOneCpu();
  const std::size_t calls = argc > 1 ? std::strtoul(argv[1], nullptr, 10) : 5'000;
  if (calls < 100 || calls > kMaxCalls) Die("usage: notify_cost [CALLS-PER-ROUND [ROW...]]");
  std::string folder = (std::filesystem::temp_directory_path() / "notify_cost.XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) Die("cannot make a folder");
  std::ofstream(folder + "/file") << "x";
  void* shared =
      mmap(nullptr, sizeof(Board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (shared == MAP_FAILED) Die("cannot map memory");
  Bench bench{*new (shared) Board, calls, folder + "/file"};

  std::vector<Row> rows{{"futex ping-pong", FutexPingPong},
                        {"verdict, bare", BareVerdict},
                        {"verdict", Verdict},
                        {"read + answer, bare", BareRead<false>},
                        {"read + answer", ReadAndAnswer},
                        {"read + ID_VALID, bare", BareRead<true>},
                        {"read + ID_VALID", ReadAndDeny},
                        {"open+close, native", NativeOpen},
                        {"open+close, bare", BareOpen<HandOver::kAddThenSend>},
                        {"open+close, bare, ADDFD|SEND", BareOpen<HandOver::kAddAndSend>},
                        {"open+close, bare, looks", BareLookedOpen<HandOver::kAddThenSend>},
                        {"open+close, bare, looks, |SEND", BareLookedOpen<HandOver::kAddAndSend>},
                        {"open+close", Open},
                        {"open+close, nothing remembered", OpenByAnybody},
                        {"open+close, helper process", OpenByHelper},
                        {"open+close, broker process", Broker},
                        {"ptrace stop", PtraceStop}};
  // To look at some of them with perf or strace; ratios are to the first.
  if (argc > 2) {
    const std::vector<std::string_view> wanted(argv + 2, argv + argc);
    std::erase_if(rows, [&](const Row& row) {
      return std::ranges::find(wanted, std::string_view(row.name)) == wanted.end();
    });
    if (rows.size() != wanted.size()) Die("there are not all of these rows");
  }
  for (std::size_t round = 0; round < kRounds; ++round) {
    for (Row& row : rows) {
      bench.board.failed = false;
      row.run(bench);
      if (bench.board.failed)
        Die(fmt::format("{}: a call had not the result it must have", row.name));
      std::vector<double> sorted(bench.board.samples.begin(),
                                 bench.board.samples.begin() + static_cast<std::ptrdiff_t>(calls));
      std::ranges::sort(sorted);
      row.median.push_back(sorted[calls / 2]);
      row.tail.push_back(sorted[calls * 99 / 100]);
    }
  }
  std::filesystem::remove_all(folder);

  fmt::print("{:32} {:>10} {:>10}   x ping-pong: median (least-greatest of {} rounds of {})\n", "",
             "p50 ns", "p99 ns", kRounds, calls);
  for (const Row& row : rows) {
    fmt::print("{:32} {:>10.0f} {:>10.0f}   {}\n", row.name, Median(row.median), Median(row.tail),
               RatioText(row.median, rows.front().median));
  }
  return 0;
}

}  // namespace
}  // namespace callgate::bench

int main(int argc, char** argv) { return callgate::bench::Main(argc, argv); }
