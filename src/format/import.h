#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "abi/arch.h"
#include "abi/version.h"
#include "base/diagnostic.h"
#include "base/source.h"
#include "policy/file_reader.h"

namespace callgate::format {

// The front door for foreign policies: any format in, policy text and notes out. A reader models
// what the format's runtime executes, not what its text seems to say; what it had to assume and
// what a policy cannot hold are notes. What it does not understand is an error with its place.

enum class ForeignFormat : std::uint8_t {
  kOci,          // runtime JSON of runc and crun, alone or within a config.json
  kDocker,       // Docker's profile form: includes, excludes, archMap
  kSpo,          // SeccompProfile objects of the Kubernetes Security Profiles Operator (YAML)
  kFirecracker,  // seccompiler JSON: one filter a thread
  kMinijail,     // minijail policy text, of the C parser and of compile_seccomp_policy
  kKafel,
  kSystemd,  // a unit or drop-in with SystemCallFilter=
  kRaw,      // a filter program, not a policy: recognised, and read by other means
};

std::string_view NameOf(ForeignFormat format);
std::optional<ForeignFormat> FormatNamed(std::string_view name);
// The names of what Import reads.
std::vector<std::string_view> ImportableFormats();

// By what is in the file; the name breaks ties. nullopt: none fits.
std::optional<ForeignFormat> Detect(std::string_view name, std::string_view bytes);

struct ImportOptions {
  std::optional<ForeignFormat> format;  // nullopt: detected
  // The machine the runtime runs on, for formats that speak of "the native ABI". nullopt: what the
  // file says, else this machine.
  std::optional<abi::ArchId> arch;
  // Docker: capabilities of the container ("CAP_SYS_ADMIN"). nullopt: those Docker gives.
  std::optional<std::vector<std::string>> capabilities;
  std::optional<abi::KernelVersion> kernel;  // Docker: minKernel. nullopt: newer than all it names
  std::string member;                        // of a file with several filters: a thread, an object
  std::string include_directory;             // minijail, Kafel: where included files lie
};

struct Imported {
  ForeignFormat format;
  std::string policy;              // canonical text
  std::vector<std::string> notes;  // one line each; also in the policy, as comments
};

// Adds the text to `sources`; errors point into it. `reader` opens included files.
std::optional<Imported> Import(const std::string& name, std::string bytes,
                               const ImportOptions& options, const policy::FileReader& reader,
                               base::SourceMap& sources, base::Diagnostics& diagnostics);

}  // namespace callgate::format
