#include "cli/output.h"

#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <system_error>
#include <utility>

#include "cli/exit_status.h"
#include "fmt/format.h"

namespace callgate::cli {
namespace {

constexpr std::string_view kProcess = "pid:";

Diagnostics Unreadable(const std::string& path, const Error& error) {
  Diagnostic unreadable;
  unreadable.file = path;
  unreadable.message = error.message;
  unreadable.text = unreadable.color_text = fmt::format("error: {}\n", error.message);
  return {{std::move(unreadable)}};
}

}  // namespace

bool UseColor(int fd) {
  auto is_set = [](const char* name) {
    const char* value = std::getenv(name);
    return value != nullptr && *value != '\0';
  };
  if (is_set("NO_COLOR")) return false;
  if (is_set("CLICOLOR_FORCE")) return std::string_view(std::getenv("CLICOLOR_FORCE")) != "0";
  return ::isatty(fd) == 1;
}

int Finish(std::string_view text, int status) {
  bool failed = std::fwrite(text.data(), 1, text.size(), stdout) != text.size();
  failed = std::fflush(stdout) != 0 || failed;
  if (!failed) return status;
  fmt::print(stderr, "callgate: cannot write standard output: {}\n", std::strerror(errno));
  return kBadInput;
}

void Complain(std::string_view verb, std::string_view message) {
  fmt::print(stderr, "callgate {}: {}\n", verb, message);
}

Result<std::string> ReadInput(const std::string& path) {
  auto close = [](std::FILE* file) {
    if (file != stdin) std::fclose(file);
  };
  std::unique_ptr<std::FILE, decltype(close)> file(
      path == "-" ? stdin : std::fopen(path.c_str(), "rbe"), close);
  auto fail = [&] {
    return std::unexpected(
        Error{fmt::format("cannot read {}: {}", path, std::strerror(errno)), errno});
  };
  if (file == nullptr) return fail();
  std::string text;
  char buffer[65536];
  std::size_t count = 0;
  while ((count = std::fread(buffer, 1, sizeof buffer, file.get())) > 0) text.append(buffer, count);
  if (std::ferror(file.get()) != 0) return fail();
  return text;
}

bool ReplaceFile(std::string_view verb, const std::string& path, const std::string& text) {
  const std::string temporary = fmt::format("{}.callgate-{}", path, verb);
  std::FILE* file = std::fopen(temporary.c_str(), "wxe");
  bool ok = file != nullptr && std::fwrite(text.data(), 1, text.size(), file) == text.size();
  if (file != nullptr) ok = std::fclose(file) == 0 && ok;
  if (ok && std::rename(temporary.c_str(), path.c_str()) == 0) return true;
  Complain(verb, fmt::format("cannot rewrite {}: {}", path, std::strerror(errno)));
  if (file != nullptr) std::remove(temporary.c_str());
  return false;
}

bool WriteFile(std::string_view verb, const std::string& path, std::string_view bytes) {
  std::FILE* file = std::fopen(path.c_str(), "wbe");
  bool ok = file != nullptr && std::fwrite(bytes.data(), 1, bytes.size(), file) == bytes.size();
  if (file != nullptr) ok = std::fclose(file) == 0 && ok;
  if (ok) return true;
  Complain(verb, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  return false;
}

std::string StateFolder() {
  auto absolute = [](const char* name) {
    const char* value = std::getenv(name);
    return std::string(value != nullptr && *value == '/' ? value : "");
  };
  if (const std::string state = absolute("XDG_STATE_HOME"); !state.empty()) {
    return state + "/callgate";
  }
  const std::string home = absolute("HOME");
  return home.empty() ? "" : home + "/.local/state/callgate";
}

void PrintDiagnostic(const Diagnostic& diagnostic) {
  std::fputs((UseColor(STDERR_FILENO) ? diagnostic.color_text : diagnostic.text).c_str(), stderr);
}

std::expected<Policy, Diagnostics> ReadPolicy(const std::string& path) {
  if (path != "-") return Policy::FromFile(path);
  auto text = ReadInput(path);
  if (text) return Policy::FromText("<stdin>", std::move(*text));
  return std::unexpected(Unreadable(path, text.error()));
}

std::optional<Policy> LoadPolicy(const std::string& path) {
  auto policy = ReadPolicy(path);
  for (const Diagnostic& finding : policy ? policy->warnings() : policy.error().all) {
    PrintDiagnostic(finding);
  }
  if (!policy) return std::nullopt;
  return std::move(*policy);
}

bool IsProcess(std::string_view operand) { return operand.starts_with(kProcess); }

std::optional<pid_t> ParseProcessId(std::string_view text) {
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  const bool is_whole = error == std::errc() && end == text.data() + text.size();
  return is_whole && pid > 0 ? std::optional(pid) : std::nullopt;
}

std::expected<Subject, Diagnostics> ReadSubject(const std::string& operand) {
  if (IsProcess(operand)) {
    const auto pid = ParseProcessId(std::string_view(operand).substr(kProcess.size()));
    if (!pid) {
      const Error error{
          fmt::format("'{}' names no process; write pid:41, or ./{} for a file", operand, operand)};
      return std::unexpected(Unreadable(operand, error));
    }
    auto live = Subject::FromProcess(*pid);
    if (live) return *std::move(live);
    return std::unexpected(Unreadable(operand, live.error()));
  }
  if (operand != "-") return Subject::FromFile(operand);
  auto bytes = ReadInput(operand);
  if (bytes) return Subject::FromBytes("<stdin>", std::move(*bytes));
  return std::unexpected(Unreadable(operand, bytes.error()));
}

std::optional<Subject> LoadSubject(const std::string& operand) {
  std::expected<Subject, Diagnostics> subject = ReadSubject(operand);
  if (subject) return std::move(*subject);
  for (const Diagnostic& finding : subject.error().all) PrintDiagnostic(finding);
  return std::nullopt;
}

std::optional<std::chrono::seconds> Z3Limit(std::string_view verb, std::string_view text) {
  constexpr int kDay = 24 * 60 * 60;
  int seconds = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), seconds);
  const bool is_whole = error == std::errc() && end == text.data() + text.size();
  if (is_whole && seconds > 0 && seconds <= kDay) return std::chrono::seconds(seconds);
  Complain(verb, fmt::format("--z3: '{}' is no number of seconds from 1 to {}", text, kDay));
  return std::nullopt;
}

std::string UndecidedText(std::string_view what, std::string_view why, bool z3_may_know) {
  return fmt::format("undecided whether {}: {}\n{}", what, why,
                     z3_may_know ? "  '--z3 SECONDS' asks another prover\n" : "");
}

int StatusOf(Answer answer) {
  switch (answer) {
    case Answer::kHolds:
      return kHolds;
    case Answer::kFails:
      return kDoesNotHold;
    case Answer::kUndecided:
      break;
  }
  return kUndecided;
}

std::string ExceptionsText(const Decompiled& decompiled) {
  std::string text;
  for (const Difference& one : decompiled.exceptions) {
    text += fmt::format(
        "# not equal for {} of {}: the filter says {}, this policy {}, for instance {}\n", one.call,
        one.arch, one.a_action, one.b_action, one.witness_text);
  }
  return text;
}

}  // namespace callgate::cli
