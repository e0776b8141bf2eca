// The record is a list of key=value behind "type=1326" (kernel log) or "type=SECCOMP" (auditd).
// Values are decimal or hex as the kernel prints each, and strings are quoted, or plain hex digits
// if they hold a blank, a quote or a control character (audit_log_untrustedstring). auditd may
// append the same in words behind a group separator (ARCH=x86_64); those keys are in capitals.

#include "analyse/audit_log.h"

#include <charconv>
#include <optional>

namespace callgate::analyse {
namespace {

constexpr std::string_view kBlanks = " \t\x1d";
constexpr std::string_view kEnds = " \t\x1d\",";  // of what is not quoted; JSON goes on behind it

template <typename Number>
std::optional<Number> NumberOf(std::string_view text, int base) {
  if (base == 16 && text.starts_with("0x")) text.remove_prefix(2);
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Quoted text as it is; else hex digits, two a byte.
std::string StringOf(std::string_view value) {
  if (value.starts_with('"')) return std::string(value.substr(1, value.find('"', 1) - 1));
  std::string text;
  for (std::size_t i = 0; i + 1 < value.size(); i += 2) {
    const auto byte = NumberOf<unsigned>(value.substr(i, 2), 16);
    if (!byte) return std::string(value);
    text += static_cast<char>(*byte);
  }
  return text;
}

// The value of a key in a record; empty: not there.
std::string_view ValueOf(std::string_view record, std::string_view key) {
  for (std::size_t at = record.find(key); at != std::string_view::npos;
       at = record.find(key, at + 1)) {
    const bool begins = at == 0 || kBlanks.contains(record[at - 1]);
    const std::size_t equals = at + key.size();
    if (!begins || equals >= record.size() || record[equals] != '=') continue;
    std::string_view value = record.substr(equals + 1);
    const bool is_quoted = value.starts_with('"');
    const std::size_t end = is_quoted ? value.find('"', 1) : value.find_first_of(kEnds);
    return value.substr(0, end == std::string_view::npos ? end : end + (is_quoted ? 1 : 0));
  }
  return {};
}

std::optional<AuditRecord> ReadRecord(std::string_view text) {
  const auto arch = NumberOf<std::uint32_t>(ValueOf(text, "arch"), 16);
  const auto nr = NumberOf<std::int32_t>(ValueOf(text, "syscall"), 10);
  const auto code = NumberOf<std::uint32_t>(ValueOf(text, "code"), 16);
  if (!arch || !nr || !code) return std::nullopt;
  AuditRecord record;
  record.arch = *arch;
  record.nr = *nr;
  record.ret_value = *code;
  record.pid = NumberOf<pid_t>(ValueOf(text, "pid"), 10).value_or(0);
  record.signal = NumberOf<int>(ValueOf(text, "sig"), 10).value_or(0);
  record.ip = NumberOf<std::uint64_t>(ValueOf(text, "ip"), 16).value_or(0);
  record.comm = StringOf(ValueOf(text, "comm"));
  record.exe = StringOf(ValueOf(text, "exe"));
  return record;
}

}  // namespace

std::vector<AuditRecord> FindAuditRecords(std::string_view text) {
  std::vector<AuditRecord> records;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string line(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    std::size_t begin = line.find("type=1326");
    if (begin == std::string::npos) begin = line.find("type=SECCOMP");
    if (begin == std::string::npos) continue;
    line.erase(0, begin);
    std::erase(line, '\\');  // journalctl -o json quotes the quotes
    if (auto record = ReadRecord(line)) records.push_back(*std::move(record));
  }
  return records;
}

}  // namespace callgate::analyse
