#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "callgate/error.h"
#include "callgate/export.h"

namespace callgate {

// One line of `callgate doctor`.
struct Feature {
  enum class State : std::uint8_t { kWorks, kMissing, kLimited };

  std::string name;  // "user notification"
  State state = State::kMissing;
  bool required = false;  // `callgate run` cannot do its job without it
  std::string detail;     // "all flags up to WAIT_KILLABLE_RECV", "EPERM: …"
  std::string meaning;    // what it means for callgate; empty when it works
  std::string advice;     // what to do about it; may be empty
};

// Probes this kernel and this process's rights. Leaves no trace; takes some milliseconds.
CALLGATE_EXPORT std::vector<Feature> ProbeSystem();

struct SyscallEntry {
  std::string arch;
  std::string name;
  std::int32_t nr = 0;  // as in seccomp_data.nr
  std::string since;    // "2.6.16"; empty: not recorded
  std::string status;   // "", "unimplemented", …
  struct Argument {
    std::string name;
    std::string type;        // C type
    std::string values;      // constant set, structure or kind: "open_flags"
    std::uint8_t bits = 64;  // how much of the register the kernel looks at
    bool is_signed = false;
  };
  std::vector<Argument> arguments;
  std::vector<std::string> groups;
};

// The tables. `arch` empty: native. `name`: one call, an @group, or empty for all. Sorted by
// number.
CALLGATE_EXPORT Result<std::vector<SyscallEntry>> ListSyscalls(std::string_view arch,
                                                               std::string_view name);

struct GroupEntry {
  std::string name;
  std::string description;
  std::vector<std::string> members;
};
CALLGATE_EXPORT std::vector<GroupEntry> ListGroups();
CALLGATE_EXPORT std::vector<std::string> ListArches();

// "0.1.0"
CALLGATE_EXPORT std::string_view Version();

}  // namespace callgate
