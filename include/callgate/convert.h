#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <string>
#include <vector>

#include "callgate/error.h"
#include "callgate/export.h"
#include "callgate/policy.h"

namespace callgate {

// Policies of other programs: in and out.

struct ImportOptions {
  std::string format;             // one of ForeignFormats(); empty: found out from the text
  std::string include_directory;  // where included files lie; empty: where the file says
  std::string arch;    // the machine a runtime would run on; empty: what the file says, or this one
  std::string member;  // of a file with several filters: a Firecracker thread, an object's name
  // Docker's conditions: the container's capabilities (nullopt: those Docker gives) and the
  // kernel's version (empty: newer than any the profile names).
  std::optional<std::vector<std::string>> capabilities;
  std::string kernel;
};

struct Imported {
  std::string format;  // the one it was read as
  std::string policy;  // canonical policy text, which compiles
  // What was assumed, and what a policy cannot hold: a line each. Also on top of the text.
  std::vector<std::string> notes;
};

// Turns a foreign policy into policy text that decides every call as the format's own runtime
// would. `name` stands for the text in messages, and helps to find out the format. Fails where the
// text is not understood in full.
CALLGATE_EXPORT std::expected<Imported, Diagnostics> ImportPolicy(
    const std::string& name, std::string bytes, const ImportOptions& options = {});

// What ImportPolicy reads and ExportPolicy writes: oci, docker, spo, …
CALLGATE_EXPORT std::vector<std::string> ForeignFormats();

// What to do about a policy that a format cannot hold in full.
enum class Approximate : std::uint8_t {
  kNo,       // refuse
  kTighter,  // decide such calls at least as strictly as the policy
  kLooser,   // at most as strictly
};

struct ExportOptions {
  Approximate approximate = Approximate::kNo;
  std::string name = "callgate";  // of the SPO object, the Firecracker thread, the Kafel policy
  // "oci" and "docker": the socket of an agent (agent.h), which is asked about every call that has
  // a rule no filter can keep; `name` is the listenerMetadata. Absolute. Empty: such policies are
  // refused.
  std::string listener = {};
};

struct Exported {
  std::string text;
  // Each call that is decided otherwise, and what the runtime decides by itself: a line each.
  std::vector<std::string> notes;
};

// Writes a policy in a foreign format. The text is read back as ImportPolicy reads it and every
// call of the policy's ABIs is compared, so what is not named in `notes` is decided as by the
// policy. The error lists what the format cannot hold.
CALLGATE_EXPORT Result<Exported> ExportPolicy(const Policy& policy, const std::string& format,
                                              const ExportOptions& options = {});

}  // namespace callgate
