#include "policy/file_reader.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "base/unique_fd.h"
#include "fmt/format.h"
#include "policy/limits.h"

namespace callgate::policy {

base::Result<std::string> DiskReader::Read(const std::string& path) const {
  paths_.push_back(path);
  base::UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY));
  if (!fd.valid()) return base::Fail(base::ErrnoError("open", path));
  std::string text;
  std::array<char, 65536> buffer{};
  while (true) {
    ssize_t got = ::read(fd.get(), buffer.data(), buffer.size());
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return base::Fail(base::ErrnoError("read", path));
    if (got == 0) return text;
    text.append(buffer.data(), static_cast<std::size_t>(got));
    // Not the size of stat(2): a device or a pipe has none.
    if (text.size() > kMaxFileBytes) {
      return base::Fail({.operation = "read",
                         .subject = path,
                         .reason = fmt::format("a policy file has at most {} bytes", kMaxFileBytes),
                         .advice = "split it into layers, or check that it is the file you meant"});
    }
  }
}

base::Result<std::string> MemoryReader::Read(const std::string& path) const {
  auto found = files_.find(path);
  if (found == files_.end()) return base::Fail(base::ErrnoError("open", path, ENOENT));
  return found->second;
}

}  // namespace callgate::policy
