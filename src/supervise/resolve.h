#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

#include "base/unique_fd.h"

namespace callgate::supervise {

// The directories a thread's paths start at, pinned (O_PATH).
struct Places {
  base::UniqueFd root;
  base::UniqueFd start;  // what a relative path is relative to; not needed for others
  int our_root = -1;     // in place of `root`, where it is known to be the supervisor's own
  // Whose /proc/self and /proc/thread-self it is; 0: not known in our pid namespace.
  pid_t tgid = 0;
  pid_t tid = 0;
  // Where it is not, and the path is /proc/self/fd/N: what that descriptor is (O_PATH).
  base::UniqueFd own_descriptor = base::UniqueFd();

  int Root() const { return our_root >= 0 ? our_root : root.get(); }
};

enum class Follow : std::uint8_t {
  kAll,
  kNotLast,
  // The last component is only named, not looked up, whatever it is: for calls that make, move or
  // remove it. `name` then has the slashes behind it, and may be "." or "..", which the kernel
  // refuses for such calls by itself.
  kParent,
};

// Of a path that is followed to an object that exists: the object costs less than its parent too.
enum class Needs : std::uint8_t { kObject, kObjectAndParent };

// What a path led to.
struct PinnedPath {
  // What the last component is. The kernel refuses to create or remove the last three.
  enum class Last : std::uint8_t { kName, kRoot, kDot, kDotDot };

  base::UniqueFd object;  // O_PATH; invalid: it does not exist, or it could not be reached
  base::UniqueFd parent;  // O_PATH of the directory that has `name`; invalid: there is none
                          // (`last` is no name, or a magic link of /proc was followed), or it was
                          // not needed
  std::string name = {};
  Last last = Last::kName;
  bool must_be_directory = false;  // a '/' at the end
  // What a policy calls it: absolute, in the target's root; as far as it could be resolved, the
  // rest as written. An open file without a path has the kernel's name for it ("pipe:[4711]").
  std::string path = {};
  int error = 0;  // what the kernel's walk would have ended with; ENOENT with a parent: only the
                  // last component is missing

  bool Exists() const { return object.valid(); }
};

// Names with one slash between each two, none of them `.` or `..`: as the kernel would write it.
bool IsPlain(std::string_view path);

// Is it the root directory of this process, in the same mount?
bool IsOurRoot(int root);

// What a policy calls an open file: its path in that root, or the kernel's name for a file that has
// none ("pipe:[4711]"). Behind the path of a file whose name was removed stands " (deleted)".
// EACCES: it lies outside of the root, where no name reaches.
std::expected<std::string, int> NameInRoot(int root, int fd);

// Walks a path as the kernel does for a thread with these places, as the calling thread's user.
// An errno: the path could not even be looked at (out of descriptors, no /proc here).
std::expected<PinnedPath, int> ResolvePath(const Places& places, const std::string& path,
                                           Follow follow, Needs needs = Needs::kObject);

// A descriptor the target named, as the path of what it is open on.
std::expected<PinnedPath, int> ResolveDescriptor(const Places& places, base::UniqueFd object);

// O_PATH of /proc/self/fd: to reopen what a descriptor holds, or to read its name, in fewer steps
// than by the path.
int OwnDescriptors();
// The name of a descriptor there.
std::array<char, 16> DescriptorName(int fd);

}  // namespace callgate::supervise
