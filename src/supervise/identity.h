#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <array>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace callgate::supervise {

// As whom a thread acts on files. Credentials belong to threads, not to processes.
struct Credentials {
  // Real, effective, saved, file system.
  std::array<uid_t, 4> uids{};
  std::array<gid_t, 4> gids{};
  std::vector<gid_t> groups = {};
  std::uint64_t effective_capabilities = 0;
  // Inode numbers of the namespaces' files: equal for the same namespace.
  std::uint64_t user_namespace = 0;

  bool operator==(const Credentials&) const = default;
};

// Inode numbers, as in Credentials.
struct Namespaces {
  std::uint64_t user = 0;
  std::uint64_t pid = 0;
  std::uint64_t mount = 0;
};

// Nothing is made with a mode where the umask is not known.
inline constexpr mode_t kUnreadUmask = 07777;

struct Identity {
  Credentials credentials;
  pid_t tgid = 0;
  pid_t tracer = 0;  // the process that traces it; 0: none, not visible from here, or not read
  int threads = 0;   // of the process; 0: not read
  mode_t umask = kUnreadUmask;
  std::uint64_t pid_namespace = 0;
  std::uint64_t mount_namespace = 0;
  // What a path is called is not known unless it starts at the supervisor's root.
  bool must_have_our_root = false;
  int our_root =
      -1;  // O_PATH of the supervisor's file-system root, where it is known to be its too
};

// A snapshot of a thread; its id must be held (a notification that is still pending afterwards).
// nullopt: gone, or not ours to see.
std::optional<Identity> ReadIdentity(pid_t tid);
// The same without the namespaces.
std::optional<Identity> ReadStatus(pid_t tid);
std::optional<Namespaces> ReadNamespaces(pid_t tid);
// Of the namespaces that a call can be about besides those: by the names in /proc/TID/ns. nullopt:
// as above.
std::optional<std::uint64_t> ReadNamespace(pid_t tid, std::string_view kind);
// The text of /proc/TID/status without the namespaces. nullopt: a line is missing or makes no
// sense.
std::optional<Identity> ParseStatus(std::string_view text);

// RLIMIT_FSIZE of the process, RLIM_INFINITY if there is none. nullopt: gone, or not ours to see.
std::optional<rlim_t> ReadFileSizeLimit(pid_t tid);
// From the text of /proc/TID/limits.
std::optional<rlim_t> ParseFileSizeLimit(std::string_view limits);

}  // namespace callgate::supervise
