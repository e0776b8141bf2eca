#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "callgate/error.h"
#include "callgate/export.h"
#include "callgate/launch.h"
#include "callgate/program.h"

// Handlers in C++ for the calls that a policy leaves to `notify`. They run in this process; the
// supervisor that holds the calls is a process beside the program, and asks over a socket
// (callgate-run(1), "HANDLERS"). So a handler may use whatever this process has, and cannot take
// the supervisor down with it.
//
//   callgate::Supervisor supervisor(options);
//   supervisor.On("connect", [](const callgate::NotifiedCall& call) {
//     return call.Number("uservaddr.port") == 443 ? callgate::Decision::Allow()
//                                                  : callgate::Decision::Deny("not https");
//   });
//   auto pid = supervisor.Start();
//   // waitpid(*pid, …)
//
// examples/supervisor is a whole program.

namespace callgate {

// One call that waits for a decision.
struct CALLGATE_EXPORT NotifiedCall {
  std::string syscall;  // "openat"; "i386.openat" for another ABI than this machine's
  // In words, with its arguments: "openat(dfd=AT_FDCWD, filename=\"x\", flags=O_RDONLY)". Escaped:
  // it may be shown on a terminal.
  std::string text;
  // The registers. Addresses in them are the program's: to read its memory is a look that another
  // thread of it can make worthless.
  Call registers;
  pid_t pid = 0;  // of the process, 0: not known; tid: of the thread, in the supervisor's namespace
  pid_t tid = 0;
  std::string process;  // comm(5) of the process, escaped
  // What the call points to, copied and held: if it is allowed, it is performed with exactly this.
  // Named as a policy names it: "filename" (resolved: absolute, without links), "uservaddr.port",
  // "how.flags", "argv[0]", "fd.path". Text is raw UTF-8 of the program's choice. Empty for calls
  // that the supervisor does not perform (`callgate plan`): those are decided by their registers.
  std::vector<std::pair<std::string, std::variant<std::uint64_t, std::string>>> inputs;
  std::string place;  // of the rule: "app.cg:12"
  std::string rule;   // its text

  // nullopt: the call has no such input, or it is of the other kind.
  std::optional<std::uint64_t> Number(std::string_view name) const;
  std::optional<std::string_view> Text(std::string_view name) const;
};

// What becomes of the call. `reason` stands in the report that the program's user reads, escaped,
// and cut after 200 bytes.
class CALLGATE_EXPORT Decision {
 public:
  // It is performed, with its inputs; without inputs the program goes on with it. Of execve: what
  // is loaded must be what was told, or the process is killed before its first instruction.
  static Decision Allow();
  // It fails with EPERM.
  static Decision Deny(std::string reason = {});
  // It fails with that errno(3) value, 1 to 4095; others deny it.
  static Decision Errno(int value, std::string reason = {});
  // It returns that, and is not performed. -4095 to -1 are errors to the program.
  static Decision Return(std::int64_t value);
  // SIGKILL, to the whole process.
  static Decision Kill(std::string reason = {});
  // The program goes on with the call itself, and the kernel reads memory again: another thread can
  // have changed it since. Not for anything that `inputs` decided.
  static Decision ContinueUnchecked();

  const std::string& verdict() const { return verdict_; }  // as a policy writes it
  const std::string& reason() const { return reason_; }

 private:
  Decision(std::string verdict, std::string reason)
      : verdict_(std::move(verdict)), reason_(std::move(reason)) {}

  std::string verdict_;
  std::string reason_;
};

// Runs a program under policies and decides what they leave to `notify`.
//
// A call is denied when there is no handler for it, the handler throws, takes longer than 4 s, or
// decides what cannot be carried out; when this object or this process ends, every call that waits
// and every later one. Each denial is reported with its reason.
class CALLGATE_EXPORT Supervisor {
 public:
  // At most so many handlers run at the same time; further calls wait for one of them.
  static constexpr int kThreads = 8;

  // Called in threads of their own, several at once.
  using Handler = std::function<Decision(const NotifiedCall&)>;

  // `options.notify_fd` is set by Start.
  explicit Supervisor(LaunchOptions options);
  // Waits for handlers that run. The program goes on, without them.
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // For the call of that name ("openat"), in place of an earlier one. Before Start.
  void On(std::string syscall, Handler handler);
  // For every call without a handler of its own. Before Start.
  void OnOther(Handler handler);

  // Starts the program in a child process, and the handlers' threads. The caller waits for the
  // child with waitpid(2). Once.
  std::expected<pid_t, LaunchError> Start();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace callgate
