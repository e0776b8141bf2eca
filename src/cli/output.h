#pragma once

#include <sys/types.h>

#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>

#include "callgate/analysis.h"
#include "callgate/policy.h"

namespace callgate::cli {

// stdout carries results, stderr carries talk. Colour only on a terminal; NO_COLOR turns it off,
// CLICOLOR_FORCE on.
bool UseColor(int fd);

// Prints `text` on stdout and flushes. A full disk or closed stdout is an error, never a silent
// success: returns `status`, or kBadInput after a message.
int Finish(std::string_view text, int status);

// Prints a verb's failure on stderr: "callgate compile: MESSAGE".
void Complain(std::string_view verb, std::string_view message);

// Reads a policy; "-" is standard input.
std::expected<Policy, Diagnostics> ReadPolicy(const std::string& path);
// The same, printing every finding on stderr. nullopt: there was an error.
std::optional<Policy> LoadPolicy(const std::string& path);

// A policy or a filter: "-" is standard input, "pid:41" the filters that process 41 is under (a
// file of that name is "./pid:41"). Prints why it is refused.
std::optional<Subject> LoadSubject(const std::string& operand);
// The same, and what is refused is the caller's to say.
std::expected<Subject, Diagnostics> ReadSubject(const std::string& operand);
bool IsProcess(std::string_view operand);
// "41"; nullopt: no process can have that id.
std::optional<pid_t> ParseProcessId(std::string_view text);
// The time that --z3 gives. nullopt: what stands there is no number of seconds, which has been
// said.
std::optional<std::chrono::seconds> Z3Limit(std::string_view verb, std::string_view text);
// What is open, and who else may be asked.
std::string UndecidedText(std::string_view what, std::string_view why, bool z3_may_know);
// The exit status that says an answer.
int StatusOf(Answer answer);

// Comment lines that say where a decompiled policy is not its filter; empty if it is.
std::string ExceptionsText(const Decompiled& decompiled);

// All of a file; "-" is standard input.
Result<std::string> ReadInput(const std::string& path);

// Writes beside the file and renames, so that a full disk or a crash never leaves half a policy.
// False: it failed, and the verb has said so.
bool ReplaceFile(std::string_view verb, const std::string& path, const std::string& text);

// False: it failed, and the verb has said so.
bool WriteFile(std::string_view verb, const std::string& path, std::string_view bytes);

// Where callgate keeps what it knows between two commands (XDG_STATE_HOME); "" if nobody says.
std::string StateFolder();

void PrintDiagnostic(const Diagnostic& diagnostic);

}  // namespace callgate::cli
