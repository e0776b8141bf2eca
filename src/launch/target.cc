#include "launch/target.h"

#include <fcntl.h>
#include <limits.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <string_view>

#include "base/unique_fd.h"
#include "fmt/format.h"

namespace callgate::launch {
namespace {

constexpr std::uint64_t kPage = 4096;

// A file of /proc that fits one read; empty if it is gone.
std::string ReadSmallFile(const std::string& path) {
  base::UniqueFd fd(open(path.c_str(), O_RDONLY | O_CLOEXEC));
  std::array<char, 4096> buffer;
  ssize_t size = fd.valid() ? read(fd.get(), buffer.data(), buffer.size()) : -1;
  return size <= 0 ? std::string() : std::string(buffer.data(), static_cast<std::size_t>(size));
}

std::string NameOf(pid_t tid) {
  std::string name = ReadSmallFile(fmt::format("/proc/{}/comm", tid));
  if (name.ends_with('\n')) name.pop_back();
  return name;
}

}  // namespace

ThreadIdentity IdentifyThread(pid_t tid) {
  ThreadIdentity identity{.pid = 0, .tid = tid, .process_name = {}, .thread_name = {}};
  if (tid <= 0) return identity;
  // The name comes first in the file and is escaped there, so that it cannot forge this line.
  std::string status = ReadSmallFile(fmt::format("/proc/{}/status", tid));
  constexpr std::string_view kLabel = "\nTgid:\t";
  if (std::size_t at = status.find(kLabel); at != std::string::npos) {
    std::from_chars(status.data() + at + kLabel.size(), status.data() + status.size(),
                    identity.pid);
  }
  identity.thread_name = NameOf(tid);
  identity.process_name =
      identity.pid == tid || identity.pid == 0 ? identity.thread_name : NameOf(identity.pid);
  return identity;
}

std::optional<std::string> ProcTarget::DescriptorTarget(int fd) const {
  std::array<char, PATH_MAX> buffer;
  ssize_t size =
      readlink(fmt::format("/proc/{}/fd/{}", tid_, fd).c_str(), buffer.data(), buffer.size());
  if (size < 0) return std::nullopt;
  return std::string(buffer.data(), static_cast<std::size_t>(size));
}

std::vector<std::byte> ProcTarget::ReadMemory(std::uint64_t address, std::size_t size) const {
  std::vector<std::byte> bytes(size);
  std::size_t have = 0;
  // Page by page: one unreadable page must not hide what stands before it.
  while (have < size) {
    std::uint64_t at = address + have;
    std::size_t part = std::min<std::size_t>(size - have, kPage - at % kPage);
    auto got = kernel_.ReadMemory(tid_, at, std::span(bytes).subspan(have, part));
    if (!got || *got == 0) break;
    have += *got;
    if (*got < part) break;
  }
  bytes.resize(have);
  return bytes;
}

}  // namespace callgate::launch
