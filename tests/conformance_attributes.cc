// setxattrat and its siblings.

#include <fcntl.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>
#include <cstdio>
#include <string>
#include <vector>

#include "tests/conformance_fixture.h"

namespace callgate::conformance {
namespace {

// Linux 6.13, younger than the headers.
constexpr long kSet = 463, kGet = 464, kList = 465, kRemove = 466;

struct Args {
  std::uint64_t value = 0;
  std::uint32_t size = 0, flags = 0;
  std::uint64_t more = 0;
};

struct Way {
  const char* shown;
  Args args;
  std::size_t size = 16;  // of args
  const char* name = "user.two";
  long at_flags = 0;
};

std::uint64_t AddressOf(const void* pointer) { return reinterpret_cast<std::uint64_t>(pointer); }

std::vector<Way> Ways(const void* value) {
  std::uint64_t at = AddressOf(value);
  return {
      {.shown = "plain", .args = {at, 5}},
      {.shown = "there", .args = {at, 100}, .name = "user.one"},
      {.shown = "nofollow", .args = {at, 5}, .at_flags = AT_SYMLINK_NOFOLLOW},
      {.shown = "empty", .args = {at, 5}, .at_flags = AT_EMPTY_PATH},
      {.shown = "create", .args = {at, 5, XATTR_CREATE}, .name = "user.one"},
      {.shown = "replace", .args = {at, 5, XATTR_REPLACE}},
      {.shown = "no value", .args = {0, 0}},
      {.shown = "flags", .args = {at, 5, 8}},
      {.shown = "at flags", .args = {at, 5}, .at_flags = 1},
      {.shown = "large", .args = {at, 70'000}},
      {.shown = "bad value", .args = {8, 5}},
      {.shown = "small args", .args = {at, 5}, .size = 15},
      {.shown = "longer args", .args = {at, 5}, .size = 24},
      {.shown = "later args", .args = {at, 5, 0, 1}, .size = 24},
      {.shown = "huge args", .args = {at, 5}, .size = 5000},
      {.shown = "no name", .args = {at, 5}, .name = ""},
      {.shown = "bad name", .args = {at, 5}, .name = kBadPointer},
      {.shown = "odd name", .args = {at, 5}, .name = "nosuch.name"},
      {.shown = "trusted", .args = {at, 5}, .name = "trusted.one"},
  };
}

template <typename Call>
void ForEach(const std::string& call, const void* value, Call make) {
  for (const Way& way : Ways(value)) {
    for (const Path& path : Paths()) {
      for (const DirFd& at : DirFds()) {
        Try(call + "(" + at.shown + " " + path.Show() + ", " + way.shown + ")",
            [&] { return make(at.fd, path.get(), way); });
      }
    }
    Try(call + "(null, " + way.shown + ")", [&] { return make(file_fd, nullptr, way); });
  }
}

}  // namespace

void ProbeAttributesAt(const std::string& call) {
  char value[128] = "value";
  if (call == "setxattrat") {
    ForEach(call, value, [](int at, const char* path, const Way& way) {
      return syscall(kSet, at, path, way.at_flags, way.name, &way.args, way.size);
    });
  }
  if (call == "getxattrat") {
    ForEach(call, value, [&](int at, const char* path, const Way& way) {
      return ReadOut(
          [&](char* buffer, std::size_t) {
            Args args = way.args;
            if (args.value == AddressOf(value)) args.value = AddressOf(buffer);
            return syscall(kGet, at, path, way.at_flags, way.name, &args, way.size);
          },
          0);
    });
  }
  if (call == "listxattrat") {
    ForEach(call, value, [](int at, const char* path, const Way& way) {
      return ReadOut(
          [&](char* buffer, std::size_t) {
            return syscall(kList, at, path, way.at_flags, buffer, way.args.size);
          },
          0);
    });
  }
  if (call == "removexattrat") {
    ForEach(call, value, [](int at, const char* path, const Way& way) {
      return syscall(kRemove, at, path, way.at_flags, way.name);
    });
  }
}

}  // namespace callgate::conformance
