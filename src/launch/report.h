#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <string>
#include <string_view>

#include "abi/call.h"
#include "kernel/kernel.h"
#include "launch/decode.h"
#include "launch/last_denials.h"
#include "launch/launch.h"
#include "launch/output.h"
#include "launch/target.h"

namespace callgate::launch {

// One refused call, ready to be written.
struct Denial {
  abi::Call call;
  DecodedCall decoded;
  ThreadIdentity who;
  Explanation explanation;
};

// The three lines of a denial; the wording is part of the design:
//
//   callgate: denied  fdatasync(fd=7 </srv/audit.log>)  → EPERM   pid 4117 (worker)
//     rule      app.cg:12  default errno(EPERM)          (no rule mentions fdatasync)
//     add       fdatasync                                # @sync: fsync fdatasync sync_file_range
std::string DenialText(const Denial& denial);
std::string DenialText(const KeptDenial& denial);
// "EPERM", "SIGSYS (kill)", "SIGSYS (trap(3))"; "SIGKILL (kill)" of a call that the supervisor
// kills for.
std::string OutcomeText(const abi::Call& call, abi::Action verdict);
std::string OutcomeText(const abi::Call& call, const Explanation& why);

// The same as one JSON object a line (report_json.cc).
std::string DenialJson(const Denial& denial);
std::string RepeatedJson(std::string_view call, std::string_view action, std::uint64_t count,
                         std::string_view container = {});
std::string StartedJson(pid_t pid, std::span<const std::string> argv);
// `status` as waitpid(2) gives it.
std::string ExitedJson(int status);
std::string FailedJson(std::string_view message);
std::string NoteJson(std::string_view message);

// One call that the supervisor decided, as a line of the audit log.
struct AuditRecord {
  const kernel::Notification& notification;
  pid_t pid = 0;
  const Decision& decision;
  std::string outcome;                 // "done", "EACCES", "killed", "gone"
  std::chrono::nanoseconds latency{};  // from its arrival to its answer
};
std::string AuditJson(const AuditRecord& record);
// How many decisions had which outcome.
using AuditCounts = std::map<std::string, std::uint64_t>;
std::string AuditCountsJson(const AuditCounts& counts);

// Writes denials as they come and counts those that say the same again: the first is written at
// once, the number of the others when the program ends. Bounded: a program that is refused ten
// thousand different paths gives sixteen reports a rule and call, and a number.
//
// Several threads may report. `container`: whose calls they all are.
class Reporter {
 public:
  Reporter(ReportFormat format, Output errors, Output status, Output audit = {},
           DenialRecord record = DenialRecord(), std::string container = {});

  void Started(pid_t pid, std::span<const std::string> argv);
  // Looks at the calling thread through `view`; it must be held: waiting for its answer, or
  // stopped. `still_held` is asked after the look; false: the thread was gone, what was seen may be
  // another's, and nothing is written.
  void Denied(const abi::Call& call, pid_t tid, const Explanation& explanation,
              const TargetView& view, const std::function<bool()>& still_held);
  void Failed(const base::Error& error);
  // Something worth knowing that is no failure.
  void Note(std::string_view message);
  void Decided(const AuditRecord& record);
  // Writes and forgets the counts.
  void FlushCounts();
  // The last words, to readers that may be slow; whoever reads the program's standard error until
  // its end must not wait for what it left running.
  void Exited(int status, int patience_ms);
  // The audit log's last line; the supervisor ends.
  void Finished(int patience_ms);
  // Waits for readers of standard error.
  void Drain(int patience_ms);

  // Descriptors that had no room for all there is to write; -1: has nothing to write.
  struct Unwritten {
    int errors = -1;
    int status = -1;
    int audit = -1;
  };
  Unwritten unwritten() const;
  bool HasUnwritten() const;
  void Push();

 private:
  struct Entry {
    std::string call;  // decoded text
    std::string outcome;
    std::string action;
    std::uint64_t repeats = 0;
    bool others = false;  // stands for all calls beyond the limit
  };

  const ReportFormat format_;
  mutable std::mutex mutex_;  // what follows
  Output errors_;
  Output status_;
  Output audit_;
  DenialRecord record_;
  const std::string container_;
  AuditCounts counts_;
  std::map<std::string, Entry> entries_;           // by class, then key
  std::map<std::string, std::uint32_t> distinct_;  // reports written, by class
};

}  // namespace callgate::launch
