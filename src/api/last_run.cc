#include <algorithm>
#include <iterator>
#include <utility>

#include "callgate/launch.h"
#include "launch/last_denials.h"
#include "launch/report.h"

namespace callgate {
namespace {

Denial ToPublic(launch::KeptDenial kept) {
  Denial denial;
  denial.text = launch::DenialText(kept);
  denial.call = std::move(kept.call);
  denial.outcome = std::move(kept.outcome);
  denial.pid = kept.who.pid;
  denial.tid = kept.who.tid;
  denial.process = std::move(kept.who.process_name);
  denial.thread = std::move(kept.who.thread_name);
  denial.place = std::move(kept.place);
  denial.rule = std::move(kept.rule);
  denial.reason = std::move(kept.reason);
  denial.add = std::move(kept.add);
  denial.group = std::move(kept.group);
  denial.registers = {kept.registers.nr, kept.registers.arch, kept.registers.ip, {}};
  std::ranges::copy(kept.registers.args, std::begin(denial.registers.args));
  denial.repeats = kept.repeats;
  return denial;
}

}  // namespace

Result<std::optional<LastRun>> ReadLastRun(const std::string& state_folder) {
  auto kept = launch::ReadLastRun(state_folder);
  if (!kept) return std::unexpected(Error{kept.error().ToString(), kept.error().errno_value});
  if (!*kept) return std::nullopt;
  LastRun run{std::move((*kept)->command), (*kept)->pid, (*kept)->status, {}};
  std::ranges::transform((*kept)->denials, std::back_inserter(run.denials), ToPublic);
  return run;
}

}  // namespace callgate
