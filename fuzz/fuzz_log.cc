// Any bytes as a log: reading always ends, and each record that is found is found again in the line
// that the kernel would write of it.

#include <fmt/format.h>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "analyse/audit_log.h"
#include "base/check.h"

namespace callgate {
namespace {

std::string Hex(std::string_view bytes) {
  std::string text;
  for (const char byte : bytes) text += fmt::format("{:02X}", static_cast<unsigned char>(byte));
  return text;
}

void Check(std::string_view log) {
  for (const analyse::AuditRecord& record : analyse::FindAuditRecords(log)) {
    // audit_log_untrustedstring writes names with odd bytes in hexadecimal.
    const std::string line = fmt::format(
        "type=1326 audit(1.2:3): pid={} comm={} exe={} sig={} arch={:x} syscall={} ip=0x{:x} "
        "code=0x{:x}\n",
        record.pid, Hex(record.comm), Hex(record.exe), record.signal, record.arch, record.nr,
        record.ip, record.ret_value);
    CG_CHECK(analyse::FindAuditRecords(line) == std::vector{record});
  }
}

}  // namespace
}  // namespace callgate

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  callgate::Check({reinterpret_cast<const char*>(data), size});
  return 0;
}
