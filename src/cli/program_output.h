#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "callgate/program.h"
#include "cli/command_line.h"

namespace callgate::cli {

// What --format, --output and --name say; `compile` and `asm` write their programs by it.
struct ProgramOutput {
  ProgramFormat format = ProgramFormat::kListing;
  std::string name;
  std::string path;  // "-": standard output
};

// Prints a usage error and returns nullopt if the options make no sense.
std::optional<ProgramOutput> ParseProgramOutput(const Verb& verb, const Arguments& arguments,
                                                std::string_view default_format);

// These two return the verb's exit status.
int WriteFile(const Verb& verb, const std::string& path, std::string_view bytes);
int WriteProgram(const Verb& verb, const ProgramOutput& output, const Program& program);

}  // namespace callgate::cli
