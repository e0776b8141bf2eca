#pragma once

#include <string>
#include <vector>

// The directory in which conformance_prober.cc tries calls, and what is seen of their effects.

namespace callgate::conformance {

inline const char* const kBadPointer = reinterpret_cast<const char*>(8);

// A path that is asked about, and how it is shown.
struct Path {
  std::string text;
  const char* pointer = nullptr;  // not null: instead of the text

  const char* get() const { return pointer == nullptr ? text.c_str() : pointer; }
  std::string Show() const {
    if (pointer != nullptr) return "BAD";
    if (text.size() > 40) return text.substr(0, 5) + "...";
    return "\"" + text + "\"";
  }
};

extern std::string root;  // ours
extern bool opens_by_open;
extern int directory_fd, file_fd;  // of the fixture

std::vector<Path> Paths();
// Makes the directory anew, if something in it was changed, and goes there.
void MakeFixture();
// Prints a result, and everything that is in the directory if that changed. O_NOFOLLOW is not shown
// among the flags of a descriptor: a file that was pinned is opened through a link of /proc.
void Tell(const std::string& shown, long result, int error, bool is_descriptor);

}  // namespace callgate::conformance
