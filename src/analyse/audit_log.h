#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace callgate::analyse {

// One record of the kernel about a call that a filter did not simply let through: audit_seccomp of
// kernel/auditsc.c, type 1326. It has no arguments.
struct AuditRecord {
  pid_t pid = 0;
  std::string comm;
  std::string exe;         // empty: not told
  int signal = 0;          // that the task got; 0: none
  std::uint32_t arch = 0;  // AUDIT_ARCH_*
  std::int32_t nr = 0;
  std::uint64_t ip = 0;
  std::uint32_t ret_value = 0;  // action alone, data is not told

  bool operator==(const AuditRecord&) const = default;
};

// The records among any lines of a log: dmesg, journalctl (also -o json), audit.log, ausearch.
// Lines about other things are passed over, and so are records that lack the call.
std::vector<AuditRecord> FindAuditRecords(std::string_view text);

}  // namespace callgate::analyse
