// Drawing a graph well is Graphviz's art: its program reads the graph from one unnamed file and
// writes the drawing to another, so neither side ever waits for the other.

#include "cli/draw.h"

#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <string_view>

#include "base/unique_fd.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

std::unexpected<Error> Fail(std::string_view why, int errno_value) {
  return std::unexpected(
      Error{fmt::format("cannot draw the graph with dot: {}; it is part of Graphviz (Debian: "
                        "graphviz), -f dot needs no program",
                        why),
            errno_value});
}

std::unexpected<Error> FailByErrno(int errno_value) {
  return Fail(std::strerror(errno_value), errno_value);
}

bool WriteAll(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written < 0 && errno != EINTR) return false;
    if (written > 0) text.remove_prefix(static_cast<std::size_t>(written));
  }
  return ::lseek(fd, 0, SEEK_SET) == 0;
}

std::optional<std::string> ReadAll(int fd) {
  std::string text;
  if (::lseek(fd, 0, SEEK_SET) != 0) return std::nullopt;
  char buffer[65536];
  ssize_t count = 0;
  while ((count = ::read(fd, buffer, sizeof buffer)) > 0) {
    text.append(buffer, static_cast<std::size_t>(count));
  }
  if (count < 0) return std::nullopt;
  return text;
}

// The wait status.
Result<int> Run(int input, int output) {
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&actions, output, STDOUT_FILENO);
  std::string name = "dot";
  std::string option = "-Tsvg";
  char* argv[] = {name.data(), option.data(), nullptr};
  pid_t child = 0;
  const int error = ::posix_spawnp(&child, name.c_str(), &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) return FailByErrno(error);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) return FailByErrno(errno);
  }
  return status;
}

}  // namespace

Result<std::string> DrawSvg(const std::string& graph) {
  const base::UniqueFd input(::memfd_create("graph", MFD_CLOEXEC));
  const base::UniqueFd output(::memfd_create("drawing", MFD_CLOEXEC));
  if (!input.valid() || !output.valid() || !WriteAll(input.get(), graph)) return FailByErrno(errno);
  const Result<int> status = Run(input.get(), output.get());
  if (!status) return std::unexpected(status.error());
  if (*status != 0) return Fail("it failed", 0);
  std::optional<std::string> drawing = ReadAll(output.get());
  if (!drawing) return FailByErrno(errno);
  return *std::move(drawing);
}

}  // namespace callgate::cli
