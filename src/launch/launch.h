#pragma once

#include <sys/types.h>

#include <cstdint>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "abi/action.h"
#include "abi/call.h"
#include "base/error.h"
#include "kernel/kernel.h"
#include "launch/attach.h"
#include "supervise/deciders.h"
#include "supervise/identities.h"

namespace callgate::launch {

// What the policy says about one call. The texts go into the report as they are (escaped for a
// terminal); empty ones are left out.
struct Explanation {
  abi::Action verdict;
  bool kills = false;       // it is the supervisor that kills, by SIGKILL
  std::string place = {};   // "app.cg:12"
  std::string rule = {};    // "default errno(EPERM)"
  std::string reason = {};  // "no rule mentions fdatasync"
  std::string add = {};     // the line that would allow the call: "fdatasync"
  std::string group = {};   // "@sync: fsync fdatasync sync_file_range"
};

// Judges by the whole stack of policies. Called in the supervisor, by several threads at once, in a
// child of the caller made by fork: it must not take locks that other threads of the caller may
// hold. It is called once before the fork, so that what it initialises on first use is there.
using ExplainFunction = std::function<Explanation(const abi::Call&)>;

// What was decided about a call, for the audit log.
struct Decision {
  // What had to be looked at: "registers", "object", "copied" or "pinned" (policy::Soundness).
  std::string_view looked_at = "registers";
  // What was copied and looked at, as the policy names it.
  std::vector<std::pair<std::string, std::string>> inputs = {};
  std::string action = {};  // of the rule: "allow"
  std::string answer = {};  // of whom the rule leaves it to: "errno(EPERM)"
  std::string place = {};   // of the rule: "app.cg:12"
  std::string rule = {};
  bool is_gone = false;  // the caller did not wait for it
  int errno_value = 0;   // what the call returned; 0: it did not fail
};

// Answers a notified call in place of `explain`: decides it by more than registers, and performs it
// if it is allowed. `refused`: nullopt, it is answered. Else what to report and what
// to do: an errno to give, or kill. Called in the supervisor, by several threads at once.
// `decision` is there if the plan has an audit_fd.
struct Answered {
  std::optional<Explanation> refused;
  std::optional<Decision> decision = {};
};
using AnswerFunction = std::function<Answered(const supervise::Turn&)>;

// Judges what `pid`, which stands at its exec stop, has loaded; `former_tid` made the call.
// nullopt: it may run. Else it is killed, and this reported.
struct RefusedLater {
  abi::Call call;
  Explanation why;
  std::optional<Decision> decision = {};  // as in Answered
};
using JudgeExecFunction = std::function<std::optional<RefusedLater>(pid_t pid, pid_t former_tid)>;
// The same of a thread that stands at any stop, if it was held behind a call (Turn::hold).
using JudgeReturnFunction = std::function<std::optional<RefusedLater>(pid_t tid)>;

enum class ReportFormat : std::uint8_t { kText, kJson };

struct Supervision {
  ExplainFunction explain;
  AnswerFunction answer = nullptr;             // empty: registers decide everything
  JudgeExecFunction judge_exec = nullptr;      // empty: no exec is judged after the fact
  JudgeReturnFunction judge_return = nullptr;  // empty: nobody is held behind a call
  // The filter's SECCOMP_RET_TRACE verdicts say with their data what a call changes of its caller:
  // told of before it goes on, and when a thread takes over another one's id. Empty: there are
  // none.
  std::function<void(supervise::Change)> change = nullptr;
  std::function<void()> at_end = nullptr;  // after the last answer
  // Trace children too, so that deaths and SIGSYS traps by the filter are explained for all. Set it
  // when the policy kills or traps; where it only refuses with an errno, children stay free to be
  // traced by others, and forks cost nothing extra. (The first process and its threads are traced
  // in any case: its end is waited for.)
  bool explain_deaths = false;
  ReportFormat format = ReportFormat::kText;
  int status_fd = -1;  // JSON lines: started, denied, exited; -1: none
  int audit_fd = -1;   // JSON lines: every call that the supervisor decided, and counts; -1: none
  std::string state_folder = {};  // keeps the denials there (last_denials.h); "": nowhere
  int terminal_fd = -1;           // where `answer` asks a person, kept open for it; -1: nowhere
  int notify_fd = -1;             // stream socket to a handler that `answer` asks; -1: none
};

struct LaunchPlan {
  std::vector<std::string> argv;  // argv[0] is looked up in PATH if it has no slash
  // Oldest first. With supervision, `stack.listening` is the filter whose errno verdicts are
  // SECCOMP_RET_USER_NOTIF; the supervisor answers each with the errno that `explain` gives. Older
  // filters must allow seccomp(), or the next one cannot be added: combine such policies into one
  // program.
  FilterStack stack;
  // nullopt: the kernel enforces alone and nothing of callgate stays behind.
  std::optional<Supervision> supervision;
};

struct LaunchFailure {
  int exit_code = 125;  // 125: callgate's own, 126: cannot be executed, 127: not found
  base::Error error;
};

// Becomes the program: same process, parent, group, session, terminal and descriptors. Returns only
// on failure, and then nothing of the program ran; no_new_privs and close-on-exec of the status
// descriptor may be left set. Call it from the main thread. A failure to install the filter after
// the exec is reported on standard error by the supervisor, and the process ends with status 125.
LaunchFailure Exec(const LaunchPlan& plan, kernel::Kernel& kernel);

// The same in a child process; the caller waits for it with waitpid(2). Any thread may call it.
std::expected<pid_t, LaunchFailure> Spawn(const LaunchPlan& plan, kernel::Kernel& kernel);

}  // namespace callgate::launch
