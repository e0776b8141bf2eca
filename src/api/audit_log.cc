#include "analyse/audit_log.h"

#include <algorithm>
#include <string>
#include <utility>

#include "abi/action.h"
#include "abi/arch.h"
#include "abi/syscalls.h"
#include "callgate/analysis.h"
#include "fmt/format.h"

namespace callgate {
namespace {

// The record has no data, so "errno" without its number.
std::string ActionName(std::uint32_t ret_value) {
  std::string text = abi::RetValueToString(ret_value);
  if (abi::ActionFromValue(ret_value)) text.erase(std::min(text.find('('), text.size()));
  return text;
}

}  // namespace

std::vector<LogRecord> ReadAuditLog(std::string_view text) {
  std::vector<LogRecord> records;
  for (analyse::AuditRecord& found : analyse::FindAuditRecords(text)) {
    LogRecord record;
    const auto arch = abi::ArchOfCall(found.arch, found.nr);
    const abi::Syscall* syscall = arch ? abi::FindSyscall(*arch, found.nr) : nullptr;
    const std::string prefix =
        !arch || *arch == abi::NativeArch() ? "" : fmt::format("{}.", abi::ArchOf(*arch).name);
    record.is_named = syscall != nullptr;
    record.call = record.is_named ? prefix + std::string(syscall->name)
                                  : fmt::format("{}number {}", prefix, found.nr);
    record.action = ActionName(found.ret_value);
    record.pid = found.pid;
    record.comm = std::move(found.comm);
    record.exe = std::move(found.exe);
    record.signal = found.signal;
    record.registers = {found.nr, found.arch, found.ip, {}};
    records.push_back(std::move(record));
  }
  return records;
}

}  // namespace callgate
