#include "agent/door.h"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <utility>

#include "fmt/format.h"

namespace callgate::agent {
namespace {

// Runtimes that start at once; one that finds no room waits.
constexpr int kBacklog = 128;
constexpr mode_t kOwnerOnly = 0177;

std::unexpected<base::Error> Fail(const std::string& path, int errno_value, std::string reason,
                                  std::string advice) {
  return base::Fail({.operation = "listen on",
                     .subject = path,
                     .errno_value = errno_value,
                     .reason = std::move(reason),
                     .advice = std::move(advice)});
}

base::UniqueFd NewSocket() {
  return base::UniqueFd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
}

// Makes room for a socket of that name.
base::Result<void> Clear(const std::string& path, const sockaddr_un& address) {
  struct stat status{};
  if (lstat(path.c_str(), &status) < 0) {
    if (errno == ENOENT) return {};
    return Fail(path, errno, {}, {});
  }
  if (!S_ISSOCK(status.st_mode)) {
    return Fail(path, 0, "it is there and is no socket", "name another path, or remove it");
  }
  base::UniqueFd probe = NewSocket();
  if (!probe.valid()) return Fail(path, errno, {}, {});
  if (connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 ||
      errno == EAGAIN) {
    return Fail(path, 0, "somebody listens there already", "end that agent, or name another path");
  }
  if (errno != ECONNREFUSED) return Fail(path, errno, "who listens there cannot be told", {});
  if (unlink(path.c_str()) < 0) return Fail(path, errno, "a socket of an agent that ended", {});
  return {};
}

}  // namespace

base::Result<Door> Door::Open(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return Fail(path, 0,
                fmt::format("a socket's path has at most {} bytes", sizeof address.sun_path - 1),
                "name a shorter one");
  }
  std::memcpy(address.sun_path, path.data(), path.size());
  if (auto cleared = Clear(path, address); !cleared) return std::unexpected(cleared.error());
  base::UniqueFd fd = NewSocket();
  if (!fd.valid()) return Fail(path, errno, {}, {});
  // It has that mode from the first moment on.
  const mode_t before = umask(kOwnerOnly);
  const int bound = bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address);
  const int error = errno;
  umask(before);
  if (bound < 0) return Fail(path, error, {}, {});
  struct stat status{};
  if (lstat(path.c_str(), &status) < 0) return Fail(path, errno, {}, {});
  Door door(path, std::move(fd), status.st_dev, status.st_ino);
  if (listen(door.fd(), kBacklog) < 0) return Fail(path, errno, {}, {});
  return door;
}

Door::~Door() {
  struct stat status{};
  if (!fd_.valid() || lstat(path_.c_str(), &status) < 0) return;
  if (status.st_dev == device_ && status.st_ino == inode_) (void)unlink(path_.c_str());
}

}  // namespace callgate::agent
