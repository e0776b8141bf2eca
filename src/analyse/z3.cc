// z3 as a program of its own: it is wanted seldom, and whoever never asks it need not have it. The
// question is a file without a name, so that no pipe can fill while both sides wait; the answer is
// read until z3 closes it or the time is over.

#include "analyse/z3.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <csignal>
#include <optional>
#include <string_view>
#include <utility>

#include "base/unique_fd.h"

namespace callgate::analyse {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kMaxMebibytes = 4096;  // a question about two hard filters must not take the machine
constexpr std::size_t kMaxAnswer = 1U << 16;  // sixteen words take some hundred bytes

base::Result<base::UniqueFd> QuestionFile(const std::string& text) {
  base::UniqueFd file(memfd_create("question", MFD_CLOEXEC));
  if (!file.valid()) return base::Fail(base::ErrnoError("make", "a file of the question for z3"));
  for (std::size_t at = 0; at < text.size();) {
    const ssize_t written = write(file.get(), text.data() + at, text.size() - at);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return base::Fail(base::ErrnoError("write", "the question for z3"));
    at += static_cast<std::size_t>(written);
  }
  if (lseek(file.get(), 0, SEEK_SET) != 0) {
    return base::Fail(base::ErrnoError("rewind", "the question for z3"));
  }
  return file;
}

// 0, or an errno value.
int Spawn(pid_t& child, int input, int output) {
  posix_spawn_file_actions_t actions;
  if (const int error = posix_spawn_file_actions_init(&actions); error != 0) return error;
  int error = posix_spawn_file_actions_adddup2(&actions, input, STDIN_FILENO);
  for (const int to : {STDOUT_FILENO, STDERR_FILENO}) {
    if (error == 0) error = posix_spawn_file_actions_adddup2(&actions, output, to);
  }
  std::array<std::string, 4> words = {"z3", "-smt2", "-in",
                                      fmt::format("-memory:{}", kMaxMebibytes)};
  std::array<char*, 5> argv{};
  std::ranges::transform(words, argv.begin(), [](std::string& word) { return word.data(); });
  if (error == 0) error = posix_spawnp(&child, "z3", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  return error;
}

// nullopt: the time is over.
std::optional<std::string> ReadAll(int output, Clock::time_point deadline) {
  std::string text;
  while (text.size() < kMaxAnswer) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - Clock::now());
    if (left.count() <= 0) return std::nullopt;
    pollfd ready{.fd = output, .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, static_cast<int>(left.count())) <= 0) continue;
    std::array<char, 4096> part{};
    const ssize_t size = read(output, part.data(), part.size());
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) break;
    text.append(part.data(), static_cast<std::size_t>(size));
  }
  return text;
}

// "((w0 #x00000010)\n (w1 #xc000003e)\n …)"
std::optional<abi::CallWords> ParseWords(std::string_view text) {
  abi::CallWords words{};
  for (std::size_t i = 0; i < words.size(); ++i) {
    const std::string name = fmt::format("(w{} #x", i);
    const std::size_t at = text.find(name);
    if (at == std::string_view::npos) return std::nullopt;
    const char* begin = text.data() + at + name.size();
    const auto [end, error] = std::from_chars(begin, text.data() + text.size(), words[i], 16);
    if (error != std::errc()) return std::nullopt;
  }
  return words;
}

base::Result<Z3Answer> Parse(const std::string& text) {
  const std::string first = text.substr(0, text.find('\n'));
  if (first == "unsat") return Z3Answer{Z3Verdict::kNoCall, {}};
  if (first == "unknown" || first.find("out of memory") != std::string::npos) return Z3Answer{};
  if (first == "sat") {
    if (const auto words = ParseWords(text)) return Z3Answer{Z3Verdict::kCall, *words};
  }
  return base::Fail({.operation = "understand",
                     .subject = "z3's answer",
                     .reason = first.empty() ? "it is empty" : fmt::format("'{}'", first),
                     .advice = ""});
}

}  // namespace

base::Result<Z3Answer> AskZ3(const std::string& formulas, const std::string& condition,
                             Clock::time_point deadline) {
  std::string question =
      formulas + fmt::format("(assert {})\n(check-sat)\n(get-value (", condition);
  for (std::size_t i = 0; i < abi::CallWords{}.size(); ++i) question += fmt::format(" w{}", i);
  question += "))\n";  // without a model it is an error, which nobody reads
  const auto file = QuestionFile(question);
  if (!file) return base::Fail(file.error());
  std::array<int, 2> ends{};
  if (pipe2(ends.data(), O_CLOEXEC) != 0) return base::Fail(base::ErrnoError("make", "a pipe"));
  const base::UniqueFd reading(ends[0]);
  base::UniqueFd writing(ends[1]);
  pid_t child = 0;
  if (const int error = Spawn(child, file->get(), writing.get()); error != 0) {
    base::Error failure = base::ErrnoError("run", "z3", error);
    if (error == ENOENT) {
      failure.errno_value = 0;
      failure.reason = "it is in no folder of PATH";
      failure.advice = "install it (on Debian the package z3), or ask without it";
    }
    return base::Fail(std::move(failure));
  }
  writing.Reset();
  const auto text = ReadAll(reading.get(), deadline);
  kill(child, SIGKILL);  // if it still runs
  while (waitpid(child, nullptr, 0) < 0 && errno == EINTR) {
  }
  if (!text) return Z3Answer{};
  return Parse(*text);
}

}  // namespace callgate::analyse
