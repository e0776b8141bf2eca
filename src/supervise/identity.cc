#include "supervise/identity.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <string>

#include "base/unique_fd.h"
#include "fmt/format.h"

namespace callgate::supervise {
namespace {

// Numbers of one line, separated by blanks.
class Numbers {
 public:
  explicit Numbers(std::string_view line) : rest_(line) {}

  template <typename Number>
  bool Next(Number& number, int base = 10) {
    rest_.remove_prefix(std::min(rest_.find_first_not_of(" \t"), rest_.size()));
    auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), number, base);
    if (error != std::errc()) return false;
    rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
    return true;
  }

 private:
  std::string_view rest_;
};

// What stands behind "\nLabel:". The first line is the thread's name, which the kernel escapes, so
// no label can be forged.
std::optional<std::string_view> LineOf(std::string_view text, std::string_view label) {
  std::string start = fmt::format("\n{}:", label);
  std::size_t at = text.find(start);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view line = text.substr(at + start.size());
  return line.substr(0, line.find('\n'));
}

std::optional<std::string> ReadAll(const std::string& path) {
  base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (!fd.valid()) return std::nullopt;
  // 65536 groups of ten digits are possible: read on until the end.
  std::string text;
  while (true) {
    std::size_t have = text.size();
    text.resize(have + 4096);
    ssize_t size = read(fd.get(), text.data() + have, 4096);
    if (size < 0) return std::nullopt;
    text.resize(have + static_cast<std::size_t>(size));
    if (size == 0) return text;
  }
}

}  // namespace

std::optional<std::uint64_t> ReadNamespace(pid_t tid, std::string_view kind) {
  struct stat status{};
  if (stat(fmt::format("/proc/{}/ns/{}", tid, kind).c_str(), &status) < 0) return std::nullopt;
  return status.st_ino;
}

std::optional<Identity> ParseStatus(std::string_view text) {
  Identity identity;
  auto line = [&](std::string_view label) { return LineOf(text, label); };
  auto tgid = line("Tgid");
  auto tracer = line("TracerPid");
  auto umask = line("Umask");
  auto threads = line("Threads");
  auto uids = line("Uid");
  auto gids = line("Gid");
  auto groups = line("Groups");
  auto capabilities = line("CapEff");
  if (!tgid || !tracer || !umask || !threads || !uids || !gids || !groups || !capabilities)
    return std::nullopt;
  Numbers uid_numbers(*uids), gid_numbers(*gids), group_numbers(*groups);
  for (std::size_t i = 0; i < 4; ++i) {
    if (!uid_numbers.Next(identity.credentials.uids[i]) ||
        !gid_numbers.Next(identity.credentials.gids[i])) {
      return std::nullopt;
    }
  }
  for (gid_t group = 0; group_numbers.Next(group);) identity.credentials.groups.push_back(group);
  if (!Numbers(*tgid).Next(identity.tgid) || !Numbers(*tracer).Next(identity.tracer) ||
      !Numbers(*umask).Next(identity.umask, 8) || !Numbers(*threads).Next(identity.threads) ||
      !Numbers(*capabilities).Next(identity.credentials.effective_capabilities, 16)) {
    return std::nullopt;
  }
  return identity;
}

std::optional<Namespaces> ReadNamespaces(pid_t tid) {
  auto user = ReadNamespace(tid, "user");
  auto pid = ReadNamespace(tid, "pid");
  auto mount = ReadNamespace(tid, "mnt");
  if (!user || !pid || !mount) return std::nullopt;
  return Namespaces{.user = *user, .pid = *pid, .mount = *mount};
}

std::optional<Identity> ReadStatus(pid_t tid) {
  std::optional<std::string> text = ReadAll(fmt::format("/proc/{}/status", tid));
  return text ? ParseStatus(*text) : std::nullopt;
}

std::optional<Identity> ReadIdentity(pid_t tid) {
  std::optional<Identity> identity = ReadStatus(tid);
  auto namespaces = ReadNamespaces(tid);
  if (!identity || !namespaces) return std::nullopt;
  identity->credentials.user_namespace = namespaces->user;
  identity->pid_namespace = namespaces->pid;
  identity->mount_namespace = namespaces->mount;
  return identity;
}

std::optional<rlim_t> ParseFileSizeLimit(std::string_view limits) {
  constexpr std::string_view kLabel = "\nMax file size";
  std::size_t at = limits.find(kLabel);
  if (at == std::string_view::npos) return std::nullopt;
  std::string_view soft = limits.substr(at + kLabel.size());
  soft.remove_prefix(std::min(soft.find_first_not_of(' '), soft.size()));
  if (soft.starts_with("unlimited")) return RLIM_INFINITY;
  rlim_t limit = 0;
  if (!Numbers(soft).Next(limit)) return std::nullopt;
  return limit;
}

std::optional<rlim_t> ReadFileSizeLimit(pid_t tid) {
  std::optional<std::string> text = ReadAll(fmt::format("/proc/{}/limits", tid));
  if (!text) return std::nullopt;
  return ParseFileSizeLimit(*text);
}

}  // namespace callgate::supervise
