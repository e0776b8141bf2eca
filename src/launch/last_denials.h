#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "abi/call.h"
#include "base/error.h"
#include "launch/output.h"
#include "launch/target.h"

namespace callgate::launch {

// Keeps what the last run that was denied something was denied, so that it can be asked about
// afterwards: the lines of the status descriptor, in FOLDER/last-denials. Nothing is written before
// the first denial. See last_denials.cc for what the file is safe from. A file that cannot be
// written is no reason to stop a program: then nothing is kept.
class DenialRecord {
 public:
  // The folder is absolute; it is made with the first denial. "": nothing is kept.
  explicit DenialRecord(std::string folder = {}) : folder_(std::move(folder)) {}

  bool enabled() const { return !folder_.empty(); }
  // `json` is a line. What comes before the first denial is written with it.
  void Note(std::string_view json);
  void Denied(std::string_view json);
  // The run is over; it is not told of a run without a denial.
  void NoteEnd(std::string_view json) {
    if (file_.open()) Note(json);
  }

 private:
  std::string folder_;
  std::string before_;  // noted before the file is there
  Output file_;
  std::size_t written_ = 0;  // bytes
};

// A denial as it was reported.
struct KeptDenial {
  std::string call;
  std::string outcome;
  ThreadIdentity who;
  std::string place;
  std::string rule;
  std::string reason;
  std::string add;
  std::string group;
  abi::Call registers;
  std::string action;
  std::uint64_t repeats = 0;
};

struct LastRun {
  std::vector<std::string> command;
  pid_t pid = 0;
  std::optional<int> status;  // nullopt: it was not seen to end
  std::vector<KeptDenial> denials;
};

// nullopt: nothing is kept there. Fails where the file may be somebody else's word.
base::Result<std::optional<LastRun>> ReadLastRun(const std::string& folder);

// Adds what one line tells; what is no line of a record is passed over (report_json.cc).
void ReadRecordLine(std::string_view line, LastRun& run);

}  // namespace callgate::launch
